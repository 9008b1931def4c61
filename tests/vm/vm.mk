# ---- vm: what was installed, with real systemd: in namespaces (tests/vm/units, seconds a case), and in an emulated guest with real
# AF_VSOCK (tests/vm/cases); CASES="a b" runs only these ----
VM_INSTALLED := .build/vm/installed
$(B)/tests/vm/load: $(B)/tests/vm/load.o $(B)/tests/vm/talk.o $(B)/libhvsock.a $(B)/schema.a
	$(call link,$(LIBS_jansson))
# Runs where there is nothing else: in a guest of the guest.
$(B)/tests/vm/ask: tests/vm/ask.c
	@mkdir -p $(@D)
	$(Q)$(CC) -O1 -static -o $@ $<
vm-installed: all $(B)/tests/vm/load $(B)/tests/vm/ask
	@rm -rf $(VM_INSTALLED)
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(VM_INSTALLED) >/dev/null
check-units: vm-installed
	$(Q)tests/vm/namespaces $(B) $(VM_INSTALLED) $(CASES)
check-guest: vm-installed
	$(Q)tests/vm/run $(B) $(VM_INSTALLED) $(CASES)
VM_CASES = $(if $(CASES),$(filter $(notdir $(wildcard tests/vm/$(1)/*)),$(CASES)),all)
check-vm: all
	+$(Q)tests/tally $(foreach k,units:units guest:cases,$(if $(call VM_CASES,$(lastword $(subst :, ,$(k)))),$(firstword $(subst :, ,$(k))) \
	  '$(MAKE) --no-print-directory check-$(firstword $(subst :, ,$(k))) CASES="$(filter-out all,$(call VM_CASES,$(lastword $(subst :, ,$(k)))))"'))
.PHONY: check-vm check-units check-guest vm-installed
