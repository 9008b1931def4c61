# config: text <-> records.
CONFIG_SOURCES := $(wildcard config/*.c config/export/*.c config/import/*.c)
$(eval $(call archive,config,$(CONFIG_SOURCES)))
