# ---- golden: what people are shown, compared with tests/golden/ROOM/CASE.ok; `make golden` renews it ----
CHECKS += check-golden

check-golden: all
	$(Q)tests/golden/run $(B)

golden: all
	$(Q)tests/golden/run --renew $(B)
.PHONY: golden
