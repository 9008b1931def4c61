# ---- fuzz: one program a FUZZERS; `make fuzz` looks for new findings, `make check` replays what is known ----
FUZZERS := $(filter-out replay,$(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
FUZZ_TIME ?= 60
CHECKS += fuzz-replay
CORPUS_yaml := config/examples tests/golden/check tests/golden/check/traps
CORPUS_settings := config/examples/settings
CORPUS_reg := tests/golden/import

# In the mode FUZZ=1 libFuzzer brings main; else replay.c does.
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(if $(FUZZ),,$(B)/tests/fuzz/replay.o) $(B)/config.a $(B)/schema.a
	$(call link,$(LIBS_yaml-0.1) $(LIBS_jansson),$(if $(FUZZ),-fsanitize=fuzzer))
# Of hvsockctl, this alone.
$(B)/tests/fuzz/hybrid: $(B)/ctl/stream/hybrid-reply.o
$(B)/tests/fuzz/log: $(B)/tests/fuzz/log.o $(if $(FUZZ),,$(B)/tests/fuzz/replay.o) $(B)/daemon/journal/journal.o $(B)/daemon/journal/reader.o \
  $(B)/schema.a
	$(call link,$(LIBS_jansson),$(if $(FUZZ),-fsanitize=fuzzer))

$(B)/tests/fuzz/program: $(B)/tests/fuzz/program.o $(if $(FUZZ),,$(B)/tests/fuzz/replay.o) $(B)/keeper.a $(B)/schema.a
	$(call link,,$(if $(FUZZ),-fsanitize=fuzzer))

fuzz-replay: $(FUZZERS:%=$(B)/tests/fuzz/%)
	$(Q)tests/fuzz/run replay $(B) $(foreach f,$(FUZZERS),'$f tests/fuzz/corpus/$f $(CORPUS_$f)')

fuzz:
	+$(Q)$(MAKE) --no-print-directory CC=clang FUZZ=1 FUZZ_TIME=$(FUZZ_TIME) FUZZ_SEED=$(FUZZ_SEED) fuzz-run
fuzz-run: $(FUZZERS:%=$(B)/tests/fuzz/%)
	$(Q)FUZZ_TIME=$(FUZZ_TIME) FUZZ_SEED=$(FUZZ_SEED) tests/fuzz/run fuzz $(B) $(foreach f,$(FUZZERS),'$f tests/fuzz/corpus/$f $(CORPUS_$f)')
.PHONY: fuzz fuzz-run fuzz-replay
