# tests: unit (cmocka), golden, integration, fuzz, bench, vm, lint. Each has its own part below.

# ---- unit: tests/unit/test-MODULE.c, each a program of its own that may use every archive ----
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test-*.c))
$(B)/tests/unit/%: $(B)/tests/unit/%.o $(B)/daemon.a $(B)/ctl.a $(B)/libhvsock.a $(B)/config.a $(B)/schema.a
	$(call link,-lcmocka $(LIBS_libsystemd) $(LIBS_sqlite3) $(LIBS_yaml-0.1) $(LIBS_jansson) $(LIBS_smartcols))
.PRECIOUS: $(B)/tests/unit/%.o

unit: $(UNIT_TESTS)
	$(Q)for t in $(UNIT_TESTS); do echo "  TEST $$(basename $$t)"; $$t >$$t.log 2>&1 || { cat $$t.log; exit 1; }; done
.PHONY: unit
