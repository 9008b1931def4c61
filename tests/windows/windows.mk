# ---- hivex: what our .reg files make of a hive, read by hivexregedit, which nobody here wrote ----
CHECKS += check-hivex
check-hivex: $(B)/hvsockctl
	$(Q)tests/windows/hivex $(B)/hvsockctl
check-windows: check-hivex
.PHONY: check-hivex check-windows
