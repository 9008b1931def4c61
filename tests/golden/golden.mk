# ---- golden: what people are shown, compared with tests/golden/ROOM/CASE.ok; `make golden` renews it ----
CHECKS += check-golden

# What is installed is in the tree, so that packagers need not run anything; check-golden tells when it is old.
COMPLETIONS := bash>packaging/completion/hvsockctl.bash zsh>packaging/completion/_hvsockctl fish>packaging/completion/hvsockctl.fish

check-golden: all $(B)/tests/unit/test-schema
	$(Q)$(B)/tests/unit/test-schema --renew
	$(Q)tests/golden/run $(B)

golden: all
	$(Q)mkdir -p packaging/completion
	$(Q)$(foreach c,$(COMPLETIONS),$(B)/hvsockctl completion $(subst >, >,$(c)) &&) :
	$(Q)tests/golden/run --renew $(B)
.PHONY: golden
