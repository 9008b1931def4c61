# bench: what hvsockd does as ratios to bare programs, in one run; BENCH_JSON=FILE for the figures, BENCH="calls start" for some.
BENCH_SOURCES := $(wildcard tests/bench/*.c)
$(B)/bench: $(patsubst %.c,$(B)/%.o,$(BENCH_SOURCES)) $(B)/config.a $(B)/schema.a
	$(call link,$(LIBS_sqlite3) $(LIBS_yaml-0.1) $(LIBS_jansson))

bench: $(B)/hvsockd $(B)/hvsockctl $(B)/bench
	$(Q)BENCH_BUILD=$(abspath $(B)) $(B)/bench $(BENCH)
.PHONY: bench
