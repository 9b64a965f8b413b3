# egressd. One Makefile for the whole tree; objects, libraries and programs of a flavor live below build/FLAVOR.
# `make help` lists what there is to say.

VERSION := 0.1.0
FLAVOR ?= release
FLAVORS := release debug asan cov fuzz
OUT ?= build/$(FLAVOR)
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 600
FUZZ_RSS_MB ?= 2048
FUZZ_CC ?= clang
PKG_CONFIG ?= pkg-config
INSTALL ?= install

.SUFFIXES:
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

ifeq ($(filter $(FLAVOR),$(FLAVORS)),)
$(error FLAVOR=$(FLAVOR) is not one of: $(FLAVORS))
endif

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)')

# ---- compiler and flags ---------------------------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(FLAVOR)),$(FUZZ_CC),gcc)
endif
AR ?= ar
machine := $(shell $(CC) -dumpmachine 2>/dev/null)
x86 := $(findstring 86,$(firstword $(subst -, ,$(machine))))
gnuc := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),,yes)

warnings := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wvla -Wformat=2
# Flags every flavor shares; -fcf-protection exists on x86 only, -fstack-clash-protection not in every clang elsewhere.
harden := -fstack-protector-strong $(if $(gnuc)$(x86),-fstack-clash-protection) $(if $(x86),-fcf-protection)
fortify := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
sanitize := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

flags_release := -O2 -g $(fortify)
flags_debug := -Og -g3 -fno-omit-frame-pointer
flags_asan := -O1 -g $(sanitize)
flags_cov := -O0 -g --coverage
flags_fuzz := -O1 -g $(sanitize) -fsanitize=fuzzer-no-link
# gcc's shared libubsan beside libasan ignores log_path, and a report on a discarded stderr would go unseen.
ldflags_asan := $(sanitize) $(if $(gnuc),-static-libubsan)
ldflags_cov := --coverage
ldflags_fuzz := $(sanitize) -fsanitize=fuzzer

# ---- libraries ------------------------------------------------------------------------------------------------------

libs := wolfssl libsodium libfyaml libcares jansson
quiet_goals := help clean uninstall
need_libs := $(if $(MAKECMDGOALS),$(filter-out $(quiet_goals),$(MAKECMDGOALS)),all)
ifneq ($(need_libs),)
missing := $(shell for l in $(libs); do $(PKG_CONFIG) --exists $$l 2>/dev/null || echo $$l; done)
ifneq ($(missing),)
$(error missing libraries: $(missing). Run ./scripts/deps build, which says what it installs before it does)
endif
endif
lib_cflags := $(shell $(PKG_CONFIG) --cflags $(libs) 2>/dev/null)
lib_libs := $(shell $(PKG_CONFIG) --libs $(libs) 2>/dev/null) -ldl -lm

# llhttp: the system's if it is new enough, else Debian 13's package, fetched once and checked by scripts/llhttp.
# LLHTTP_CFLAGS and LLHTTP_LIBS given on the command line replace both (a build with no network).
llhttp_dep :=
ifndef LLHTTP_LIBS
ifeq ($(shell $(PKG_CONFIG) --atleast-version=9.2 libllhttp 2>/dev/null && echo yes),yes)
LLHTTP_CFLAGS := $(shell $(PKG_CONFIG) --cflags libllhttp)
LLHTTP_LIBS := $(shell $(PKG_CONFIG) --libs libllhttp)
else
LLHTTP_CFLAGS := -isystem build/deps/llhttp/include
LLHTTP_LIBS := build/deps/llhttp/lib/libllhttp.a
llhttp_dep := build/deps/llhttp/version
endif
endif

# Headers only: libsystemd is opened at run time, when a policy names a keyring.
ifeq ($(shell $(PKG_CONFIG) --exists libsystemd 2>/dev/null && echo yes),yes)
sdbus_cflags := -DHAVE_SDBUS=1 $(shell $(PKG_CONFIG) --cflags libsystemd)
endif

# The same on x86-64 for AES-GCM: the library is opened at run time, when a policy has TLS.
ifneq ($(findstring x86_64,$(machine)),)
ipsec_cflags := $(shell printf '#include <intel-ipsec-mb.h>\n' | $(CC) -x c -fsyntax-only - 2>/dev/null && \
	echo -DHAVE_IPSEC_MB=1)
endif

CFLAGS ?=
CPPFLAGS ?=
LDFLAGS ?=
cppflags := -std=gnu11 -D_GNU_SOURCE -DEG_VERSION='"$(VERSION)"' -Iinclude -Isrc $(LLHTTP_CFLAGS) $(lib_cflags) \
	$(sdbus_cflags) $(ipsec_cflags) $(CPPFLAGS)
cflags := $(warnings) $(harden) -fPIE $(flags_$(FLAVOR)) $(CFLAGS)
ldflags := -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack $(ldflags_$(FLAVOR)) $(LDFLAGS)
# A fuzzer brings main(), a program brings its own: only fuzz targets link with libFuzzer's.
ldflags_prog := $(filter-out -fsanitize=fuzzer,$(ldflags))
ldlibs := $(LLHTTP_LIBS) $(lib_libs)

criterion_cflags = $(shell $(PKG_CONFIG) --cflags criterion 2>/dev/null)
criterion_libs = $(shell $(PKG_CONFIG) --libs criterion 2>/dev/null || echo -lcriterion)
test_cppflags = -Itests -DEG_BUILD_DIR='"$(abspath $(OUT))"' -DEG_SOURCE_DIR='"$(CURDIR)"' $(criterion_cflags)

# ---- what is built from what ----------------------------------------------------------------------------------------

mains := src/cmd/egressd.c src/cmd/egressctl.c
srcs := $(filter-out $(mains),$(sort $(wildcard src/*/*.c)))
programs := $(patsubst src/cmd/%.c,%,$(wildcard $(mains)))
suites := $(foreach s,unit vectors integration,$(if $(wildcard tests/$(s)/*.c),$(s)))
support := $(sort $(wildcard tests/support/*.c))
helpers := $(patsubst tests/support/bin/%.c,%,$(sort $(wildcard tests/support/bin/*.c)))
fuzzers := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/*.c)))
benches := $(patsubst tests/bench/%.c,%,$(sort $(wildcard tests/bench/*.c)))
headers := $(sort $(wildcard include/egress/*.h))
pages := $(sort $(wildcard man/*.1 man/*.5 man/*.8))
presets := $(addsuffix .yaml,$(sort $(basename $(wildcard policy/presets/*.yaml))))

obj = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
lib := $(OUT)/libegress.a
support_lib := $(OUT)/libsupport.a
bins := $(addprefix $(OUT)/,$(programs))
suite_bins := $(addprefix $(OUT)/tests/,$(suites))
helper_bins := $(addprefix $(OUT)/tests/bin/,$(helpers))
fuzz_bins := $(addprefix $(OUT)/,$(fuzzers))
bench_bins := $(addprefix $(OUT)/bench/,$(benches))

.PHONY: all help release debug asan cov tests test unit vectors integration interop properties compat fuzz fuzz-run bench lint \
	install uninstall clean FORCE

all: $(lib) $(bins) ## libegress.a and the programs in build/FLAVOR (FLAVOR=release|debug|asan|cov|fuzz)

release: ## the same as all: optimised and hardened
	$(Q)$(MAKE) --no-print-directory FLAVOR=release all

debug: ## for a debugger
	$(Q)$(MAKE) --no-print-directory FLAVOR=debug all

asan: ## with AddressSanitizer and UndefinedBehaviorSanitizer
	$(Q)$(MAKE) --no-print-directory FLAVOR=asan all

# The flags are an input: another CC or CFLAGS rebuilds, the same ones do not.
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(subst ','\'',$(cppflags) $(cflags) $(ldflags) $(ldlibs))' >$@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv $@.new $@

build/deps/llhttp/version:
	@scripts/llhttp

$(OUT)/obj/src/%.o: src/%.c $(OUT)/flags | $(llhttp_dep)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(cppflags) $(cflags) -MMD -MP -c -o $@ $<

$(OUT)/obj/tests/%.o: tests/%.c $(OUT)/flags | $(llhttp_dep)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(cppflags) $(test_cppflags) $(cflags) -MMD -MP -c -o $@ $<

# The list of members is an input too: a removed source must leave the archive.
$(OUT)/members: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(srcs) - $(support) - $(presets) >$@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv $@.new $@

# The presets of policy/presets are part of the library.
$(OUT)/obj/gen/presets.c: $(presets) scripts/embed $(OUT)/members
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)scripts/embed $(presets) >$@

$(OUT)/obj/gen/presets.o: $(OUT)/obj/gen/presets.c $(OUT)/flags
	$(call say,CC,$<)
	$(Q)$(CC) $(cppflags) $(cflags) -MMD -MP -c -o $@ $<

$(lib): $(call obj,$(srcs)) $(OUT)/obj/gen/presets.o $(OUT)/members
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(support_lib): $(call obj,$(support)) $(OUT)/members
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $(filter %.o,$^)

$(bins): $(OUT)/%: $(OUT)/obj/src/cmd/%.o $(lib)
	$(call say,LD,$@)
	$(Q)$(CC) $(cflags) $(ldflags_prog) -o $@ $(filter %.o,$^) $(lib) $(ldlibs)

# ---- tests ----------------------------------------------------------------------------------------------------------

define suite_rule
$(OUT)/tests/$(1): $(call obj,$(sort $(wildcard tests/$(1)/*.c)) $(support)) $(lib) $(OUT)/members
	$$(call say,LD,$$@)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(cflags) $$(ldflags_prog) -o $$@ $$(filter %.o,$$^) $$(lib) $$(criterion_libs) $$(ldlibs)
endef
$(foreach s,$(suites),$(eval $(call suite_rule,$(s))))

$(helper_bins): $(OUT)/tests/bin/%: $(OUT)/obj/tests/support/bin/%.o $(support_lib) $(lib)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(cflags) $(ldflags_prog) -o $@ $(filter %.o,$^) $(support_lib) $(lib) $(ldlibs)

$(bench_bins): $(OUT)/bench/%: $(OUT)/obj/tests/bench/%.o $(support_lib) $(lib)
	$(call say,LD,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(cflags) $(ldflags_prog) -o $@ $(filter %.o,$^) $(support_lib) $(lib) $(ldlibs)

tests: all $(suite_bins) $(helper_bins) ## build the test programs of this FLAVOR, run nothing

unit vectors integration: tests ## run one suite (unit, vectors, integration) in this FLAVOR
	$(Q)scripts/suite $(OUT) $@

test: ## unit, vectors and integration, with sanitizers and as released
	$(Q)for f in asan release; do for s in $(suites); do \
		$(MAKE) --no-print-directory FLAVOR=$$f $$s || exit 1; done; done

interop: tests ## against real curl, git, nginx, squid, keyrings and client libraries
	$(Q)if [ -x tests/interop/run ]; then tests/interop/run; else echo 'no tests/interop/run'; exit 1; fi

properties: ## random policies and requests: engine against naive evaluator (PROPERTY_PAIRS=1000000, PROPERTY_SEED=)
	$(Q)$(MAKE) --no-print-directory FLAVOR=release build/release/tests/bin/properties
	$(Q)build/release/tests/bin/properties $(or $(PROPERTY_PAIRS),1000000) $(PROPERTY_SEED)

compat: all ## real clients inside `run` (scripts/deps compat installs them); writes their table into README.md
	$(Q)EG_BUILD_DIR='$(abspath $(OUT))' tests/compat/run --readme

ifeq ($(FLAVOR),fuzz)
fuzz: $(fuzz_bins)

$(fuzz_bins): $(OUT)/%: $(OUT)/obj/tests/fuzz/%.o $(lib)
	$(call say,LD,$@)
	$(Q)$(CC) $(cflags) $(ldflags) -o $@ $(filter %.o,$^) $(lib) $(ldlibs)
else
fuzz: ## build every fuzzer into build/fuzz (clang, libFuzzer, sanitizers)
	$(Q)$(MAKE) --no-print-directory FLAVOR=fuzz CC=$(FUZZ_CC) fuzz
endif

fuzz-run: fuzz ## run every fuzzer for FUZZ_SECONDS (600) each on a copy of its corpus; FUZZ=name for one
	$(Q)scripts/fuzz $(FUZZ_SECONDS) $(FUZZ_RSS_MB) $(if $(FUZZ),$(FUZZ),$(fuzzers))

bench: ## measure beside direct, bare relays and the proxies that `scripts/deps bench` installs
	$(Q)$(MAKE) --no-print-directory FLAVOR=release bench-programs
	$(Q)if [ -x tests/bench/run ]; then tests/bench/run; else echo 'no tests/bench/run'; exit 1; fi

.PHONY: bench-programs
bench-programs: tests $(bench_bins)

ifeq ($(FLAVOR),cov)
cov: $(addprefix cov-,$(suites))
	$(Q)scripts/coverage $(OUT)

# One after the other: suites write the same counters.
.PHONY: $(addprefix cov-,$(suites))
$(addprefix cov-,$(suites)): cov-%: tests
	$(Q)scripts/suite $(OUT) $*
else
cov: ## run the suites with coverage and print a table of lines covered by file
	$(Q)$(MAKE) --no-print-directory -j1 FLAVOR=cov cov
endif

lint: ## layers, symbols, banned functions, headers alone, manual pages; formatting as advice
	$(Q)$(MAKE) --no-print-directory FLAVOR=release all
	$(Q)CC='$(CC)' scripts/lint

# ---- installation ---------------------------------------------------------------------------------------------------

# For embedders: a static library and what it needs. An llhttp that was fetched goes along, since no system has it.
llhttp_file := $(filter %.a,$(LLHTTP_LIBS))
pc_lines = 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: egress' \
	'Description: the policy engine and proxy of a sandbox network' 'Version: $(VERSION)' \
	'Requires.private: $(libs)' 'Libs: -L$${libdir} -legress' \
	'Libs.private: $(if $(llhttp_file),-legress-llhttp,$(LLHTTP_LIBS)) -ldl -lm' 'Cflags: -I$${includedir}'

ifeq ($(FLAVOR),release)
install: all ## install programs, library, headers, manual pages and presets below DESTDIR/PREFIX (/usr/local)
	$(Q)$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/include/egress \
		$(DESTDIR)$(PREFIX)/share/egress
	$(Q)for b in $(programs); do $(INSTALL) -m 755 $(OUT)/$$b $(DESTDIR)$(PREFIX)/bin/ || exit 1; done
	$(Q)$(INSTALL) -m 644 $(lib) $(DESTDIR)$(PREFIX)/lib/
	$(Q)$(if $(llhttp_file),$(INSTALL) -m 644 $(llhttp_file) $(DESTDIR)$(PREFIX)/lib/libegress-llhttp.a)
	$(Q)$(INSTALL) -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	$(Q)printf '%s\n' $(pc_lines) >$(OUT)/egress.pc
	$(Q)$(INSTALL) -m 644 $(OUT)/egress.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	$(Q)for h in $(headers); do $(INSTALL) -m 644 $$h $(DESTDIR)$(PREFIX)/include/egress/ || exit 1; done
	$(Q)for p in $(pages); do d=$(DESTDIR)$(PREFIX)/share/man/man$${p##*.}; \
		$(INSTALL) -d $$d && $(INSTALL) -m 644 $$p $$d/ || exit 1; done
	$(Q)$(INSTALL) -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	$(Q)c=$(OUT)/egressctl s=$(DESTDIR)$(PREFIX)/share && \
		$$c completion bash >$$s/bash-completion/completions/egressctl && \
		$$c completion zsh >$$s/zsh/site-functions/_egressctl && \
		$$c completion fish >$$s/fish/vendor_completions.d/egressctl.fish
	$(Q)if [ -d policy ]; then cd policy && find . -type f -exec \
		$(INSTALL) -D -m 644 '{}' '$(abspath $(DESTDIR)$(PREFIX))/share/egress/{}' \; ; fi
else
install:
	@echo 'install takes FLAVOR=release only' >&2; exit 1
endif

uninstall: ## remove what install put there
	$(Q)rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,egressd egressctl) \
		$(addprefix $(DESTDIR)$(PREFIX)/lib/,libegress.a libegress-llhttp.a pkgconfig/egress.pc)
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/include/egress $(DESTDIR)$(PREFIX)/share/egress
	$(Q)rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions/egressctl \
		zsh/site-functions/_egressctl fish/vendor_completions.d/egressctl.fish)
	$(Q)for p in $(pages); do rm -f $(DESTDIR)$(PREFIX)/share/man/man$${p##*.}/$${p##*/}; done

clean: ## remove everything built, but not the llhttp that was fetched
	$(Q)rm -rf $(addprefix build/,$(FLAVORS)) build/clang build/logs

help: ## this list
	@echo 'make TARGET [FLAVOR=release|debug|asan|cov|fuzz] [CC=gcc|clang] [V=1] [PREFIX=...] [DESTDIR=...]'
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z -]*:.*## / { printf "  %-26s %s\n", $$1, $$2 }' Makefile

FORCE:

-include $(shell [ -d $(OUT)/obj ] && find $(OUT)/obj -name '*.d')
