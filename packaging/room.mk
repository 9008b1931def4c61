# packaging: what is made for installing, installing it, and packages.

# ---- man pages; hvsockd.yaml(5) is made from the table of fields ----
$(B)/packaging/man/reference: $(B)/packaging/man/reference.o $(B)/schema.a
	$(call link,$(LIBS_jansson))
$(B)/packaging/man/hvsockd.yaml.5: packaging/man/hvsockd.yaml.5.in $(B)/packaging/man/reference
	@sed 's|@DOCDIR@|$(DOCDIR)|' $< | $(B)/packaging/man/reference > $@
MAN_PAGES := $(wildcard packaging/man/*.[1-8]) $(B)/packaging/man/hvsockd.yaml.5
docs: $(MAN_PAGES)

# ---- files that name where other files are ----
UNITS := $(patsubst packaging/systemd/%.in,$(B)/packaging/systemd/%,$(wildcard packaging/systemd/*.service.in)) $(wildcard packaging/systemd/*.socket)
MADE := $(filter $(B)/%,$(UNITS)) $(B)/ctl/libhvsock/hvsock.pc
$(B)/%: %.in $(B)/built-with
	@mkdir -p $(@D)
	@sed 's|@PREFIX@|$(PREFIX)|; s|@SBINDIR@|$(SBINDIR)|; s|@LIBEXECDIR@|$(LIBEXECDIR)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' $< > $@

# ---- install: FILE>DESTINATION, one a line; uninstall removes the same ----
INSTALLED_PROGRAMS := $(B)/hvsockctl>$(BINDIR)/hvsockctl $(B)/hvsockd>$(SBINDIR)/hvsockd \
  $(B)/hvsock-keeper>$(LIBEXECDIR)/hvsock-keeper \
  $(foreach h,$(wildcard packaging/hooks/*),$(h)>$(LIBEXECDIR)/$(notdir $(h)))
INSTALLED_FILES := $(B)/libhvsock.so.0>$(LIBDIR)/libhvsock.so.0 ctl/libhvsock/hvsock.h>$(INCLUDEDIR)/hvsock.h \
  $(B)/ctl/libhvsock/hvsock.pc>$(PKGCONFIGDIR)/hvsock.pc \
  $(foreach m,$(MAN_PAGES),$(m)>$(MANDIR)/man$(lastword $(subst ., ,$(m)))/$(notdir $(m))) \
  $(foreach u,$(UNITS),$(u)>$(SYSTEMUNITDIR)/$(notdir $(u))) \
  packaging/systemd/sysusers.conf>$(SYSUSERSDIR)/hvsockd.conf packaging/systemd/tmpfiles.conf>$(TMPFILESDIR)/hvsockd.conf \
  packaging/completion/hvsockctl.bash>$(BASHDIR)/hvsockctl packaging/completion/_hvsockctl>$(ZSHDIR)/_hvsockctl \
  packaging/completion/hvsockctl.fish>$(FISHDIR)/hvsockctl.fish README.md>$(DOCDIR)/README.md packaging/ssh/ssh_config>$(DOCDIR)/examples/ssh_config \
  $(foreach e,$(wildcard config/examples/*.yaml config/examples/*/*.yaml),$(e)>$(DOCDIR)/$(e:config/%=%))
# libhvsock(3) under the name of each function.
INSTALLED_LINKS := libhvsock.so.0>$(LIBDIR)/libhvsock.so \
  $(foreach f,$(sort $(shell sed -n 's/^\.Nm \(hvsock_[a-z_]*\).*/\1/p' packaging/man/libhvsock.3)),libhvsock.3>$(MANDIR)/man3/$(f).3)

install: all docs $(MADE)
	$(Q)set -e; put() { install -D -m "$$1" "$${2%>*}" "$(DESTDIR)$${2#*>}"; }; \
	for f in $(foreach f,$(INSTALLED_PROGRAMS),'$(f)'); do put 755 "$$f"; done; \
	for f in $(foreach f,$(INSTALLED_FILES),'$(f)'); do put 644 "$$f"; done; \
	for f in $(foreach f,$(INSTALLED_LINKS),'$(f)'); do ln -sf "$${f%>*}" "$(DESTDIR)$${f#*>}"; done; \
	install -d -m 755 "$(DESTDIR)$(DOCDIR)"
	$(Q)$(if $(DESTDIR),,packaging/settle $(SYSUSERSDIR)/hvsockd.conf $(TMPFILESDIR)/hvsockd.conf)

uninstall:
	$(Q)for f in $(foreach f,$(INSTALLED_PROGRAMS) $(INSTALLED_FILES) $(INSTALLED_LINKS),'$(f)'); do rm -f "$(DESTDIR)$${f#*>}"; done
	$(Q)rmdir --ignore-fail-on-non-empty "$(DESTDIR)$(DOCDIR)/examples/settings" "$(DESTDIR)$(DOCDIR)/examples" "$(DESTDIR)$(DOCDIR)" "$(DESTDIR)$(LIBEXECDIR)" 2>/dev/null || :

# ---- a demonstration ----
run: all
	@packaging/demo $(B)

# ---- Debian packages, from the files of this tree ----
deb:
	@rm -rf .build/deb; mkdir -p .build/deb/hvsockd-$(VERSION)
	@tar -c --exclude=./.build --exclude=./.git . | tar -x -C .build/deb/hvsockd-$(VERSION)
	@cp -r packaging/debian .build/deb/hvsockd-$(VERSION)/debian
	$(Q)cd .build/deb/hvsockd-$(VERSION) && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u CI dpkg-buildpackage -b -us -uc -d $(if $(V),,>../log 2>&1 || { tail -n 40 ../log; exit 1; })
	@ls -1 .build/deb/*.deb

.PHONY: docs install uninstall run deb
