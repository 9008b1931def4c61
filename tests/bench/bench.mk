# bench: what hvsockd does as ratios to bare programs, in one run; BENCH_JSON=FILE for the figures, BENCH="calls start" for some.
BENCH_SOURCES := $(wildcard tests/bench/*.c)
$(B)/bench: $(patsubst %.c,$(B)/%.o,$(BENCH_SOURCES)) $(B)/config.a $(B)/schema.a
	$(call link,$(LIBS_sqlite3) $(LIBS_yaml-0.1) $(LIBS_jansson))

# What its servers start: as small as a program can be.
$(B)/tests/bench/programs/once: $(B)/tests/bench/programs/once.o
	$(call link)

bench: $(B)/hvsockd $(B)/hvsock-keeper $(B)/hvsockctl $(B)/bench $(B)/tests/bench/programs/once
	$(Q)BENCH_BUILD=$(abspath $(B)) $(B)/bench $(BENCH)
.PHONY: bench
