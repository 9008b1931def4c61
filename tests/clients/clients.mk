# ---- clients: what is installed, used by programs of other kinds: C by pkg-config, Python and Go without us, qemu-ga, varlink-go ----
check-clients: all
	@rm -rf $(B)/clients/root
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(B)/clients/root >/dev/null
	$(Q)HVSOCK_BUILD=$(CURDIR)/$(B) HVSOCK_INSTALLED=$(CURDIR)/$(B)/clients/root HVSOCK_PKGCONFIGDIR=$(PKGCONFIGDIR) CC='$(CC)' \
	  CLIENT_CFLAGS='$(MODE_FLAGS)' tests/integration/run --folder tests/clients
.PHONY: check-clients
