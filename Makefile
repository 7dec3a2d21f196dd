# raftexample in C: one flat Makefile. Everything it makes is under $(BUILD).
#
#   make                    the daemon, ./raftexample, and ./raftexample-dump
#   make test               unit tests of every layer, clusters in one process,
#                           the datadriven scripts
#   make check-rules        every rule of the core's specification has a test
#   make check-inventory    every case of etcd-io/raft's suite has one of ours
#   make check-asan         the same under ASan and UBSan, in build/asan
#   make check-integration  real processes, real sockets
#   make check-interop      the same with nodes of etcd's raftexample among them
#   make sim                whole clusters in virtual time: SEED=1 SEEDS=500
#                           STEPS=20000 JOBS=; build/tests/sim has more
#   make sim-exhaustive     all orders of events of a small cluster: DEPTH=7
#                           SECS= JOBS= JOINED=1
#   make sim-lying          clusters with a disk that says a sync is done, and
#                           has done nothing: SEED=1 CASES=20000
#   make bugs               planted bugs, each of which must be found: JOBS=2
#                           BUGS="B1 B9" these; tests/bugs/README.md
#   make check-http         hostile HTTP at both ports of real processes;
#                           CONNECTS=20000 of them come and go (else 3000)
#   make check-linear       the judge of histories against known verdicts
#   make sweep              every damage to the files of logs; JOBS= QUICK=1
#   make sweep-io           every failing or last call of a node's storage, and
#                           every allocation that fails
#   make fuzz               libFuzzer on TARGET= (all of tests/fuzz) for SECS=60
#   make fuzz-replay        the committed corpora, with any compiler
#   make check-fuzz         both, SECS=5 for each target
#   make torture            real processes under faults, judged: SECS=60
#                           KILLS=100 CUTS=20 DISKS=3 SEED=
#   make check-coverage     how much of src/raft, wal, snap and proto their tests
#                           execute (gcovr)
#   make check-mutants      whether they notice each of tests/mutants;
#                           MUTANTS=60 so many of them, SEED= which
#   make analyze            gcc's and clang's analysers, cppcheck, clang-tidy,
#                           integer, thread and memory sanitizers, valgrind;
#                           ANALYZE="gcc tidy" these
#   make check              test, lint, sim, check-rules, -inventory, -asan,
#                           -integration, -install
#   make bench              the system beside the Go raftexample, etcd, redis and
#                           nginx: ROUNDS=5 SECS=5 KEYS=1000000 BENCH_DIR=
#                           ONLY='put/64' such rows, ONLY=acceptance the asked
#   make bench-core         the core's speed; BENCH_SECS=20
#   make lint               layers, purity of the core, format, file sizes
#   make fmt                format the sources in place
#   make check-install      the installed library, with a program that uses it
#   make install            PREFIX=/usr/local BINDIR LIBDIR INCLUDEDIR DESTDIR;
#                           the daemon and libetcdraft, or one of them with
#                           install-bin, install-lib; make uninstall
#
# V=1 shows the commands, WERROR=1 makes warnings errors, BUILD= moves the
# output, SANITIZE=address,undefined builds with sanitizers. CC, CFLAGS, CPPFLAGS
# and LDFLAGS are yours.

BUILD      ?= build
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKG_CONFIG ?= pkg-config
PROTOC_C   ?= protoc-c
CLANG_FORMAT ?= clang-format
ifeq ($(V),1)
Q :=
else
Q := @
endif

# The release build sees all files at once, where the compiler is gcc: the daemon
# serves some 5 % more for it. An object has machine code of its own as well, for
# the library and the tests. CFLAGS of yours are taken as they are.
ifeq ($(origin CFLAGS),undefined)
CFLAGS := -O3 -g
ifeq ($(SANITIZE)$(findstring Free Software Foundation,$(shell $(CC) --version)),Free Software Foundation)
LTO_CFLAGS  := -flto=auto -ffat-lto-objects
LTO_LDFLAGS := -flto=auto
endif
endif

VERSION := 0.1.0

RX_CPPFLAGS := -I. -I$(BUILD) -D_GNU_SOURCE -DRAFTEXAMPLE_VERSION='"$(VERSION)"'
RX_CFLAGS   := -std=gnu11 -Wall -Wextra -Wshadow -Wconversion \
               -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
               -fPIE
RX_LDFLAGS  := -pie -Wl,-z,relro,-z,now,-z,noexecstack $(if $(LTO_CFLAGS),-fno-lto)
ifeq ($(WERROR),1)
RX_CFLAGS += -Werror
endif
# Hardening of the release build; a sanitizer brings its own.
ifeq ($(SANITIZE),)
RX_CFLAGS += -fstack-protector-strong -fstack-clash-protection
ifneq ($(findstring -O,$(CFLAGS)),)
RX_CPPFLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
ifeq ($(shell uname -m),x86_64)
RX_CFLAGS += -fcf-protection=full
endif
else
RX_CFLAGS  += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
              -fno-omit-frame-pointer
RX_LDFLAGS += -fsanitize=$(SANITIZE)
endif

UV_CFLAGS     := $(shell $(PKG_CONFIG) --cflags libuv)
UV_LIBS       := $(shell $(PKG_CONFIG) --libs libuv)
PBC_CFLAGS    := $(shell $(PKG_CONFIG) --cflags libprotobuf-c)
PBC_LIBS      := $(shell $(PKG_CONFIG) --libs libprotobuf-c)
# Only the tests need it.
CMOCKA_CFLAGS  = $(shell $(PKG_CONFIG) --cflags cmocka)
CMOCKA_LIBS    = $(shell $(PKG_CONFIG) --libs cmocka)

ifeq ($(shell $(PKG_CONFIG) --exists libllhttp && echo yes),yes)
LLHTTP_CFLAGS := $(shell $(PKG_CONFIG) --cflags libllhttp)
LLHTTP_LIBS   := $(shell $(PKG_CONFIG) --libs libllhttp)
else # sources only: build them, with their own warnings off
LLHTTP_SRC     ?= /usr/share/llhttp
LLHTTP_INCLUDE ?= /usr/share/include/llhttp
LLHTTP_CFLAGS  := -isystem $(LLHTTP_INCLUDE)
LLHTTP_OBJS    := $(addprefix $(BUILD)/llhttp/,api.o http.o llhttp.o)
endif

# --- layers: one archive each; a test links only what it may know -----------

LAYERS := base proto os raft kv wal snap net transport httpapi server dump

DIR_base := src/base
DIR_proto := proto
DIR_os := src/os
DIR_raft := src/raft
DIR_kv := src/kv
DIR_wal := wal
DIR_snap := snap
DIR_net := src/net
DIR_transport := transport
DIR_httpapi := httpapi
DIR_server := src/server
DIR_dump := src/dump

# What stands below each layer, in link order.
BELOW_base :=
BELOW_proto := base
BELOW_os := base
BELOW_raft := proto base
BELOW_kv := base
BELOW_wal := os proto base
BELOW_snap := os proto base
BELOW_net := base
BELOW_transport := net proto base
BELOW_httpapi := net base
BELOW_server := net raft kv wal snap os proto base
BELOW_dump := raft kv wal snap os proto base

# Composition root and main are not in an archive: they are the program.
PROGRAM_SRCS := src/server/main.c src/server/server.c
DUMP_SRCS := src/dump/main.c

# The libraries that a layer's objects need.
CFLAGS_proto := $(PBC_CFLAGS)
CFLAGS_net := $(UV_CFLAGS) $(LLHTTP_CFLAGS)
CFLAGS_transport := $(UV_CFLAGS) $(LLHTTP_CFLAGS)
CFLAGS_httpapi := $(UV_CFLAGS) $(LLHTTP_CFLAGS)
CFLAGS_server := $(UV_CFLAGS)

PBC_SRCS := $(patsubst proto/%.proto,$(BUILD)/proto/%.pb-c.c,$(wildcard proto/*.proto))
PBC_OBJS := $(PBC_SRCS:.c=.o)

# The Procfile starts ./raftexample; a build elsewhere leaves it alone.
ifeq ($(BUILD),build)
all: raftexample raftexample-dump
else
all: $(BUILD)/raftexample $(BUILD)/raftexample-dump
endif

raftexample raftexample-dump: %: $(BUILD)/%
	$(Q)ln -sf $< $@

define layer
SRCS_$(1) := $$(filter-out $(PROGRAM_SRCS) $(DUMP_SRCS),$$(wildcard $(DIR_$(1))/*.c))
OBJS_$(1) := $$(SRCS_$(1):%.c=$(BUILD)/%.o)
$(BUILD)/lib$(1).a: $$(OBJS_$(1)) $(if $(filter proto,$(1)),$(PBC_OBJS)) $(if $(filter net,$(1)),$(LLHTTP_OBJS))
	@rm -f $$@
	$$(Q)$(AR) rcs $$@ $$^
$$(OBJS_$(1)): LAYER_CFLAGS := $(CFLAGS_$(1)) $(LTO_CFLAGS)
TESTS_$(1) := $$(patsubst tests/unit/$(1)/%.c,$(BUILD)/tests/unit/$(1)/%,$$(wildcard tests/unit/$(1)/test_*.c))
$$(TESTS_$(1)): $(BUILD)/lib$(1).a $(BELOW_$(1):%=$(BUILD)/lib%.a)
$$(TESTS_$(1)): LAYER_CFLAGS := $(CFLAGS_$(1))
TESTS += $$(TESTS_$(1))
endef
$(foreach l,$(LAYERS),$(eval $(call layer,$(l))))

ARCHIVES := $(foreach l,transport httpapi server net raft kv wal snap os proto base,$(BUILD)/lib$(l).a)
PROGRAM_OBJS := $(PROGRAM_SRCS:%.c=$(BUILD)/%.o)
$(PROGRAM_OBJS): LAYER_CFLAGS := $(UV_CFLAGS) $(LLHTTP_CFLAGS) $(LTO_CFLAGS)
LIBS := $(UV_LIBS) $(LLHTTP_LIBS) $(PBC_LIBS)

$(BUILD)/raftexample: $(PROGRAM_OBJS) $(ARCHIVES)
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(RX_CFLAGS) $(LDFLAGS) $(RX_LDFLAGS) $(LTO_LDFLAGS) -o $@ \
	    $(PROGRAM_OBJS) $(ARCHIVES) $(LIBS)

# No libuv in it.
$(BUILD)/raftexample-dump: $(DUMP_SRCS:%.c=$(BUILD)/%.o) $(patsubst %,$(BUILD)/lib%.a,dump $(BELOW_dump))
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(RX_CFLAGS) $(LDFLAGS) $(RX_LDFLAGS) -o $@ $^ $(PBC_LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(LAYER_CFLAGS) \
	    $(CFLAGS) -MMD -MP -c -o $@ $<

# Generated code keeps its generator's warnings to itself.
$(BUILD)/proto/%.pb-c.c $(BUILD)/proto/%.pb-c.h: proto/%.proto
	@mkdir -p $(@D)
	@echo "  PROTOC  $<"
	$(Q)$(PROTOC_C) --c_out=$(BUILD) $<
$(BUILD)/proto/%.pb-c.o: $(BUILD)/proto/%.pb-c.c
	$(Q)$(CC) $(CPPFLAGS) -I$(BUILD) $(PBC_CFLAGS) -fPIE $(CFLAGS) $(LTO_CFLAGS) -w -c -o $@ $<
$(OBJS_proto): | $(PBC_SRCS)
.SECONDARY: $(PBC_SRCS)

$(BUILD)/llhttp/%.o: $(LLHTTP_SRC)/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(LLHTTP_CFLAGS) $(CFLAGS) $(LTO_CFLAGS) -fPIE -w -c -o $@ $<

# --- tests --------------------------------------------------------------------

TESTLIB_SRCS := $(wildcard tests/lib/*.c)
TESTLIB_OBJS := $(TESTLIB_SRCS:%.c=$(BUILD)/%.o)
$(BUILD)/libtest.a: $(TESTLIB_OBJS)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# A program of tests/unit may know its own layer and those below it; libtest.a
# holds what the tests share.
$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/libtest.a
	@mkdir -p $(@D)
	@echo "  TEST    $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(LAYER_CFLAGS) \
	    $(CMOCKA_CFLAGS) $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) $(RX_LDFLAGS) \
	    -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	    $(LIBS) $(CMOCKA_LIBS)

# The runner of the core's scripts: datadriven FILE... or directories.
DATADRIVEN      := $(BUILD)/tests/datadriven
DATADRIVEN_OBJS := $(patsubst tests/datadriven/%.c,$(BUILD)/obj/datadriven/%.o,\
                     $(wildcard tests/datadriven/*.c))
$(BUILD)/obj/datadriven/%.o: tests/datadriven/%.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(CFLAGS) -MMD -MP \
	    -c -o $@ $<
$(DATADRIVEN): $(DATADRIVEN_OBJS) $(patsubst %,$(BUILD)/lib%.a,raft $(BELOW_raft))
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(RX_CFLAGS) $(LDFLAGS) $(RX_LDFLAGS) -o $@ $^ $(PBC_LIBS)

# The judge of histories: linear FILE...
LINEAR := $(BUILD)/tests/linear
$(LINEAR): $(BUILD)/obj/linear/main.o $(BUILD)/libtest.a $(BUILD)/libbase.a
	@echo "  LINK    $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(RX_CFLAGS) $(LDFLAGS) $(RX_LDFLAGS) -o $@ $^
$(BUILD)/obj/linear/%.o: tests/linear/%.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(CFLAGS) -MMD -MP \
	    -c -o $@ $<

# What the tests share is tested, too.
TESTS_lib := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/lib/test_*.c))
$(TESTS_lib): $(BUILD)/libbase.a
TESTS += $(TESTS_lib)

# So are the simulator's checkers; its other ways to run need a malloc of their
# own and stay out.
SIM_ALONE := main arena scope pauses
$(BUILD)/libsim.a: $(patsubst tests/sim/%.c,$(BUILD)/obj/sim/%.o,$(filter-out \
    $(SIM_ALONE:%=tests/sim/%.c),$(wildcard tests/sim/*.c)))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
TESTS_sim := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/sim/test_*.c))
$(TESTS_sim): $(BUILD)/libsim.a $(patsubst %,$(BUILD)/lib%.a,server $(BELOW_server))
TESTS += $(TESTS_sim)

# The core's scripts: ours, and those of etcd-io/raft where they lie beside the
# project.
SHARED         ?= $(or $(RAFTEXAMPLE_SHARED),../shared)
SCRIPTS        := tests/datadriven/testdata
PUBLIC_SCRIPTS := $(wildcard $(addprefix $(SHARED)/testdata/,quorum/*.txt \
                    confchange/*.txt interaction/*.txt))

# The table of hostile HTTP, sent to a running daemon.
CHECK_HTTP := $(BUILD)/tests/check_http
$(BUILD)/obj/http/main.o: tests/http/main.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(CFLAGS) -MMD -MP \
	    -c -o $@ $<
$(CHECK_HTTP): $(BUILD)/obj/http/main.o $(BUILD)/libtest.a $(BUILD)/libbase.a
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(RX_CFLAGS) $(LDFLAGS) $(RX_LDFLAGS) -o $@ $^

tests: $(TESTS) $(DATADRIVEN) $(LINEAR) $(CHECK_HTTP)

# What each test program said of each of its tests.
RESULTS := $(BUILD)/test-results

test: tests
	$(Q)RESULTS=$(RESULTS) scripts/run-tests $(TESTS)
	$(Q)$(DATADRIVEN) $(SCRIPTS) $(PUBLIC_SCRIPTS)
	$(Q)$(if $(PUBLIC_SCRIPTS),,echo \
	    "skipped: the scripts of etcd-io/raft, $(SHARED)/testdata is not there")

# Of the tests as they last ran; they run again if they were built anew.
$(RESULTS): $(TESTS)
	$(Q)RESULTS=$@ scripts/run-tests $(TESTS)

check-rules check-inventory: $(RESULTS) $(DATADRIVEN)
	$(Q)scripts/$@ $(RESULTS) $(DATADRIVEN)

# All that clients and peers may send: the rows of reliability 11.
check-http: all tests
	$(Q)CONNECTS=$(CONNECTS) tests/integration/run $(BUILD)/raftexample \
	    test_http_table test_errors test_hostile test_many_clients

# The judge against histories whose verdicts are known: ours, and porcupine's
# where they lie beside the project.
check-linear: $(LINEAR)
	$(Q)scripts/check-linear $(LINEAR) tests/linear/histories \
	    $(SHARED)/testdata/histories

# Real processes under faults. SECS of all of them, KILLS times kill -9, CUTS
# times a power cut and DISKS times a full and a broken disk on file systems of
# their own (skipped without root); SEED.
SHIM := $(BUILD)/tests/shim.so
$(SHIM): tests/torture/shim.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -D_GNU_SOURCE $(filter-out -fPIE,$(RX_CFLAGS)) -O2 -g \
	    -fno-sanitize=all -shared -fPIC -o $@ $<

torture: all $(LINEAR) $(SHIM)
	$(Q)RAFTEXAMPLE_BINARY=$(BUILD)/raftexample LINEAR=$(LINEAR) \
	    TORTURE_SHIM=$(abspath $(SHIM)) tests/torture/run $(if $(SECS),--secs $(SECS)) \
	    $(if $(KILLS),--kills $(KILLS)) $(if $(CUTS),--cuts $(CUTS)) \
	    $(if $(DISKS),--disks $(DISKS)) \
	    $(if $(TICK_MS),--tick-ms $(TICK_MS)) $(if $(SEED),--seed $(SEED))

# The core's own speed, against the reference's where it is installed. The
# program counts what alloc.c asks for.
BENCH_CORE := $(BUILD)/bench/bench_core
$(BENCH_CORE): tests/bench/bench_core.c $(patsubst %,$(BUILD)/lib%.a,raft $(BELOW_raft))
	@mkdir -p $(@D)
	@echo "  BENCH   $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(CFLAGS) -MMD -MP \
	    -MF $@.d $(LDFLAGS) $(RX_LDFLAGS) \
	    $(foreach f,malloc calloc realloc,-Wl,--wrap=$(f)) \
	    -o $@ $(filter %.c %.a,$^)

bench-core: $(BENCH_CORE)
	$(Q)scripts/bench-core $(BUILD)

# The system beside what one would use instead. ROUNDS SECS KEYS ONLY; data and
# results are in BENCH_DIR.
BENCH_DIR   ?= $(BUILD)/bench
BENCH_TOOLS := $(addprefix $(BUILD)/bench/,load floor)
$(BUILD)/obj/bench/%.o: tests/bench/%.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(CFLAGS) -MMD -MP \
	    -c -o $@ $<
$(BENCH_TOOLS): $(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(BUILD)/obj/bench/times.o $(BUILD)/libbase.a
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(RX_CFLAGS) $(LDFLAGS) $(RX_LDFLAGS) -o $@ $^

bench: all $(BENCH_TOOLS)
	$(Q)tests/bench/run --binary $(BUILD)/raftexample --tools $(BUILD)/bench \
	    --dir $(BENCH_DIR) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	    $(if $(SECS),--secs $(SECS)) $(if $(KEYS),--keys $(KEYS)) \
	    $(if $(ONLY),--only '$(ONLY)')

# Whole clusters in virtual time. SEED SEEDS STEPS JOBS.
SIM      := $(BUILD)/tests/sim
SIM_OBJS := $(patsubst tests/sim/%.c,$(BUILD)/obj/sim/%.o,$(wildcard tests/sim/*.c))
SEED  ?= 1
SEEDS ?= 500
STEPS ?= 20000
JOBS  ?= $(shell nproc)
$(BUILD)/obj/sim/%.o: tests/sim/%.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(CFLAGS) -MMD -MP \
	    -c -o $@ $<
$(SIM): $(SIM_OBJS) $(BUILD)/libtest.a $(BUILD)/libserver.a $(patsubst %,$(BUILD)/lib%.a,$(BELOW_server))
	@echo "  LINK    $@"
	$(Q)$(CC) $(CFLAGS) $(RX_CFLAGS) $(LDFLAGS) $(RX_LDFLAGS) -o $@ $(SIM_OBJS) \
	    $(foreach f,malloc calloc realloc free,-Wl,--wrap=$(f)) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS)

sim: $(SIM)
	$(Q)$(SIM) --seed $(SEED) --seeds $(SEEDS) --steps $(STEPS) --jobs $(JOBS)

# All orders of events in a small scope. DEPTH events, at most SECS for each of
# the two states to begin from; JOINED=1: a loop turn comes with its cause.
DEPTH ?= 7
sim-exhaustive: $(SIM)
	$(Q)$(SIM) --pauses
	$(Q)$(SIM) --exhaustive $(DEPTH) --jobs $(JOBS) $(if $(SECS),--secs $(SECS)) \
	    $(if $(JOINED),--joined)

# What a lying disk loses is noticed; make test has few cases of it.
LYING_DISK := $(BUILD)/tests/unit/sim/test_lying_disk
sim-lying: $(LYING_DISK)
	$(Q)SEED=$(SEED) CASES=$(or $(CASES),20000) $(LYING_DISK)

# Every mistake of tests/bugs, put back into a copy, is seen by its layer.
bugs:
	$(Q)scripts/bugs --build $(BUILD) --jobs $(JOBS) $(BUGS)

# Every damage to a file, and every failing or last call. JOBS; QUICK=1 leaves
# the log out whose entries have up to 70 kB.
SWEEP      := $(BUILD)/tests/sweep
SWEEP_OBJS := $(patsubst tests/sweep/%.c,$(BUILD)/obj/sweep/%.o,$(wildcard tests/sweep/*.c))
SAMPLES     = $(wildcard $(SHARED)/spec/samples/data)
$(BUILD)/obj/sweep/%.o: tests/sweep/%.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(CFLAGS) -MMD -MP \
	    -c -o $@ $<
$(SWEEP): $(SWEEP_OBJS) $(BUILD)/libtest.a $(BUILD)/libserver.a $(patsubst %,$(BUILD)/lib%.a,$(BELOW_server))
	@echo "  LINK    $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(RX_CFLAGS) $(LDFLAGS) $(RX_LDFLAGS) \
	    $(foreach f,malloc calloc realloc,-Wl,--wrap=$(f)) -o $@ $(SWEEP_OBJS) \
	    -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(LIBS) $(CMOCKA_LIBS)

sweep: $(SWEEP)
	$(Q)$(SWEEP) files --jobs $(JOBS) $(if $(SAMPLES),--samples $(SAMPLES)) \
	    $(if $(QUICK),--quick)
	$(Q)$(if $(SAMPLES),,echo "skipped: the data of the Go program, $(SHARED)/spec/samples is not there")

sweep-io: $(SWEEP)
	$(Q)$(SWEEP) calls --jobs $(JOBS)
	$(Q)$(SWEEP) memory --jobs $(JOBS)

# The programs that the targets above run.
tools: $(SIM) $(SWEEP) $(LINEAR) $(SHIM)

# Fuzzing. A target is tests/fuzz/NAME.c; replay.c runs it on files, libFuzzer
# on what it makes up. Those that speak HTTP have a libuv without sockets.
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_LIB     := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/fuzz/lib/*.c))
FUZZ_REPLAY  := $(BUILD)/tests/fuzz/lib/replay.o
FUZZ_WITH    := $(FUZZ_TARGETS:%=$(BUILD)/replay/%) $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%)
CLANG        ?= clang
$(FUZZ_LIB): LAYER_CFLAGS := $(UV_CFLAGS)
# What the fuzzer shall reach is the program: the disk, the sockets and the
# models under it are neither counted nor slowed down.
$(FUZZ_LIB) $(TESTLIB_OBJS): override CFLAGS := $(filter-out -fsanitize=fuzzer-no-link,$(CFLAGS))
$(FUZZ_WITH): tests/fuzz/lib/fuzz.h
$(BUILD)/replay/step $(BUILD)/fuzz/step: $(BUILD)/libsim.a
$(FUZZ_WITH): $(filter-out $(FUZZ_REPLAY),$(FUZZ_LIB)) $(BUILD)/libtest.a $(ARCHIVES)

define fuzz_link
@mkdir -p $(@D)
@echo "  FUZZ    $@"
$(Q)$(CC) $(CPPFLAGS) $(RX_CPPFLAGS) $(RX_CFLAGS) $(UV_CFLAGS) $(LLHTTP_CFLAGS) \
    $(PBC_CFLAGS) $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) $(RX_LDFLAGS) $(1) \
    -o $@ $(filter %.c %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
    $(LLHTTP_LIBS) $(PBC_LIBS)
endef
$(BUILD)/replay/%: tests/fuzz/%.c $(FUZZ_REPLAY)
	$(call fuzz_link)
$(BUILD)/fuzz/%: tests/fuzz/%.c
	$(call fuzz_link,-fsanitize=fuzzer)

fuzz-replay: $(patsubst %,$(BUILD)/replay/%,$(or $(TARGET),$(FUZZ_TARGETS)))
	$(Q)tests/fuzz/run --replay $(BUILD)/replay $(or $(TARGET),$(FUZZ_TARGETS))

# The instrumented build is one of its own.
fuzz:
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/clang-fuzz CC="$(CLANG)" SANITIZE=address,undefined \
	    CFLAGS="-O1 -g -fsanitize=fuzzer-no-link" fuzz-run

# make would build what it is asked for before it could be skipped.
fuzz-run:
	$(Q)CC="$(CC)" tests/fuzz/run --can-fuzz || exit 0; \
	$(MAKE) --no-print-directory $(patsubst %,$(BUILD)/fuzz/%,$(or $(TARGET),$(FUZZ_TARGETS))) && \
	tests/fuzz/run --fuzz $(BUILD)/fuzz --secs $(or $(SECS),60) \
	    $(or $(TARGET),$(FUZZ_TARGETS))

check-fuzz: fuzz-replay
	$(Q)$(MAKE) --no-print-directory fuzz SECS=$(or $(SECS),5)

analyze:
	$(Q)scripts/deps analyze
	$(Q)CLANG="$(CLANG)" JOBS=$(JOBS) scripts/analyze $(BUILD) $(ANALYZE)

check-asan:
	$(Q)$(MAKE) BUILD=build/asan SANITIZE=address,undefined \
	    CPPFLAGS="$(CPPFLAGS) -DRAFT_CHECK" CFLAGS="-O1 -g" all test

# Of the core, by its unit tests, properties and scripts, of the log, the
# snapshots and the codecs by their unit tests. Not optimised, or a branch of the
# source would not be one of the program.
check-coverage coverage:
	$(Q)$(MAKE) BUILD=build/cov CC=gcc CFLAGS="-O0 -g --coverage" coverage-run

TESTS_COVERAGE = $(TESTS_raft) $(TESTS_wal) $(TESTS_snap) $(TESTS_proto)
coverage-run: $(TESTS_COVERAGE) $(DATADRIVEN)
	$(Q)scripts/coverage $(BUILD) $(TESTS_COVERAGE) \
	    "$(DATADRIVEN) $(SCRIPTS) $(PUBLIC_SCRIPTS)"

# Small wrong versions of the core, each of which its tests must notice.
check-mutants:
	$(Q)scripts/mutants --build $(BUILD) $(if $(MUTANTS),--some $(MUTANTS)) \
	    $(if $(SEED),--seed $(SEED))

check-integration: all
	$(Q)tests/integration/run $(BUILD)/raftexample

# Skipped, with a line, where Go or etcd's sources are missing.
check-interop: all
	$(Q)tests/interop/run $(BUILD)/raftexample

lint: $(BUILD)/libraft.a $(BUILD)/libkv.a
	$(Q)scripts/check-layers.sh
	$(Q)scripts/check-purity.sh $(BUILD)
	$(Q)scripts/check-format.sh
	$(Q)scripts/check-sizes.sh

check: test sim check-rules check-inventory lint check-asan check-integration \
       check-install

# Sources of ours: everything but what is generated under $(BUILD).
SOURCES = $(shell find proto src wal snap transport httpapi tests -name '*.[ch]')

fmt:
	$(Q)$(CLANG_FORMAT) -i $(SOURCES)

# --- libetcdraft: the core for other programs --------------------------------

ETCDRAFT := $(BUILD)/etcdraft
# Public: what a user calls, and what that includes.
ETCDRAFT_HEADERS := $(addprefix src/base/,types.h err.h logger.h) proto/raftpb.h \
    $(addprefix src/raft/,raft.h rawnode.h storage.h memory_storage.h)
# The core and what it calls, the codecs of its messages, nothing else.
ETCDRAFT_OBJS := $(OBJS_raft) \
    $(filter $(BUILD)/proto/raft%,$(OBJS_proto) $(PBC_OBJS)) \
    $(patsubst %,$(BUILD)/src/base/%.o,alloc buf common err log rng)

$(ETCDRAFT)/libetcdraft.a: $(ETCDRAFT_OBJS) $(ETCDRAFT_HEADERS) scripts/make-etcdraft
	@echo "  LIB     $@"
	$(Q)CC="$(CC)" AR="$(AR)" scripts/make-etcdraft $(@D) $(ETCDRAFT_HEADERS) \
	    -- $(ETCDRAFT_OBJS)

lib: $(ETCDRAFT)/libetcdraft.a

# Where things are below the prefix, the .pc file says so: it can be moved.
UNDER_PREFIX = $(patsubst $(PREFIX)/%,$${prefix}/%,$(1))

install: install-bin install-lib

install-bin: $(BUILD)/raftexample $(BUILD)/raftexample-dump
	install -d $(DESTDIR)$(BINDIR)
	install -m 755 $(BUILD)/raftexample $(DESTDIR)$(BINDIR)/raftexample
	install -m 755 $(BUILD)/raftexample-dump $(DESTDIR)$(BINDIR)/raftexample-dump

install-lib: $(ETCDRAFT)/libetcdraft.a etcdraft.pc.in
	install -d $(DESTDIR)$(INCLUDEDIR)/etcdraft $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(addprefix $(ETCDRAFT)/include/etcdraft/,$(notdir $(ETCDRAFT_HEADERS))) \
	    $(DESTDIR)$(INCLUDEDIR)/etcdraft
	install -m 644 $< $(DESTDIR)$(LIBDIR)/libetcdraft.a
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' \
	    -e 's|@LIBDIR@|$(call UNDER_PREFIX,$(LIBDIR))|' \
	    -e 's|@INCLUDEDIR@|$(call UNDER_PREFIX,$(INCLUDEDIR))|' \
	    -e 's|@PBC_LIBS@|$(PBC_LIBS)|' etcdraft.pc.in >$(ETCDRAFT)/etcdraft.pc
	install -m 644 $(ETCDRAFT)/etcdraft.pc $(DESTDIR)$(LIBDIR)/pkgconfig/etcdraft.pc

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/raftexample $(DESTDIR)$(BINDIR)/raftexample-dump
	rm -f $(DESTDIR)$(LIBDIR)/libetcdraft.a $(DESTDIR)$(LIBDIR)/pkgconfig/etcdraft.pc
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/etcdraft/,$(notdir $(ETCDRAFT_HEADERS)))
	-rmdir $(DESTDIR)$(INCLUDEDIR)/etcdraft 2>/dev/null

check-install: $(ETCDRAFT)/libetcdraft.a $(BUILD)/raftexample
	$(Q)CC="$(CC)" PKG_CONFIG="$(PKG_CONFIG)" scripts/check-install $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

clean:
	rm -rf $(BUILD) raftexample raftexample-dump

.PHONY: all analyze tests tools test check check-http sim sim-exhaustive sim-lying bugs check-linear sweep sweep-io fuzz fuzz-run \
        fuzz-replay check-fuzz torture bench bench-core check-rules \
        check-inventory check-asan check-integration check-coverage \
        check-mutants check-interop check-install coverage coverage-run lib lint fmt install install-bin \
        install-lib uninstall clean
