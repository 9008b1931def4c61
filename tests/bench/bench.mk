<<<<<<< HEAD
# bench: what hvsockd does as ratios to bare programs, in one run; BENCH_JSON=FILE for the figures, BENCH="calls start" for some.
BENCH_SOURCES := $(wildcard tests/bench/*.c)
$(B)/bench: $(patsubst %.c,$(B)/%.o,$(BENCH_SOURCES))
	$(call link,$(LIBS_sqlite3) $(LIBS_yaml-0.1))

bench: $(B)/hvsockd $(B)/hvsockctl $(B)/bench
	$(Q)BENCH_BUILD=$(abspath $(B)) $(B)/bench $(BENCH)
=======
# ---- bench: BENCH="calls start" runs only these, BENCH_QUICK=1 less of each, BENCH_JSON=file keeps the figures ----
BENCH_OBJECTS := $(patsubst %.c,$(B)/%.o,$(wildcard tests/bench/*.c))
$(B)/tests/bench/bench: $(BENCH_OBJECTS) $(B)/schema.a
	$(call link,$(LIBS_sqlite3) $(LIBS_yaml-0.1))
bench: all $(B)/tests/bench/bench
	$(Q)$(B)/tests/bench/bench $(B) $(BENCH)
>>>>>>> 1df34c9 (tests/bench: the nine targets, each beside a bare program in the same run and on the same CPU)
.PHONY: bench
