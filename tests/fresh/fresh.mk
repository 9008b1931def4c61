# ---- fresh: README's commands on a machine that has nothing but git and make ----
check-fresh:
	$(Q)tests/fresh/run
.PHONY: check-fresh
