# ---- clients: what is installed, used by programs of other kinds: C by pkg-config, Python and Go without us, qemu-ga, varlink-go, podman ----
CLIENTS := .build/clients/$(MODE)
check-clients: all
	@rm -rf $(CLIENTS)
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(CLIENTS) >/dev/null
	$(Q)HVSOCK_BUILD=$(CURDIR)/$(B) HVSOCK_INSTALLED=$(CURDIR)/$(CLIENTS) HVSOCK_PKGCONFIGDIR=$(PKGCONFIGDIR) CC='$(CC)' \
	  CLIENT_CFLAGS='$(MODE_FLAGS)' tests/integration/run --folder tests/clients
.PHONY: check-clients
