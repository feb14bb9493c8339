/* The libuv peer: K `uv_queue_work` requests in flight, each queued again when it is done.
 *
 * It measures as `src/window.rs` and `src/meter.rs` do and prints the same line; a change there is a
 * change here. The loop's thread alone writes and reads the counters, so they need no atomics.
 *
 *   libuv-peer <noop|cpu|sleep> SPIN_ITERATIONS IN_FLIGHT WARM_UP_MS RUN_MS SAMPLE_EVERY COUNT
 *
 * UV_THREADPOOL_SIZE says how many workers; with COUNT 1 it counts libuv's own allocations.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <uv.h>

enum kind { NOOP, CPU, SLEEP };

#define SUB_BITS 6
#define SUB (1u << SUB_BITS)
#define BUCKETS (32 * SUB)

struct place {
    uv_work_t request; /* first: a place is its request */
    uint32_t until_sample;
    uint64_t began_ns;
};

struct snapshot {
    uint64_t calls, at_ns, cpu_ns, switches, allocations;
    uint64_t latencies[BUCKETS];
};

static enum kind kind;
static uint64_t spin_iterations;
static uint32_t sample_every;
static uint64_t run_ms;
static uint64_t calls;
static uint64_t latencies[BUCKETS];
static atomic_uint_fast64_t allocations;
static struct snapshot before, after;
static volatile uint64_t spun;

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* As `src/work.rs`: each step needs the one before, so the compiler can skip nothing. */
static void spin(uint64_t iterations) {
    uint64_t x = iterations | 1;
    for (uint64_t i = 0; i < iterations; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    spun = x;
}

static void on_worker(uv_work_t *request) {
    (void)request;
    if (kind == CPU) {
        spin(spin_iterations);
    } else if (kind == SLEEP) {
        struct timespec millisecond = {0, 1000000};
        nanosleep(&millisecond, NULL);
    }
}

static size_t bucket(uint64_t ns) {
    unsigned bits = 64 - (unsigned)__builtin_clzll(ns | 1);
    unsigned exponent = bits > SUB_BITS + 1 ? bits - (SUB_BITS + 1) : 0;
    size_t index = (size_t)exponent * SUB + (size_t)(ns >> exponent);
    return index < BUCKETS ? index : BUCKETS - 1;
}

static uint64_t bucket_ns(size_t index) {
    size_t exponent = index < 2 * SUB ? 0 : index / SUB - 1;
    uint64_t sub = index - exponent * SUB;
    return ((sub + 1) << exponent) - 1;
}

static void on_loop(uv_work_t *request, int status);

static void submit(struct place *place) {
    if (sample_every > 1 && place->until_sample == 0) {
        place->began_ns = now_ns();
    }
    if (uv_queue_work(uv_default_loop(), &place->request, on_worker, on_loop) != 0) {
        abort();
    }
}

static void on_loop(uv_work_t *request, int status) {
    struct place *place = (struct place *)request;
    (void)status;
    calls++;
    if (place->until_sample == 0) {
        uint64_t now = now_ns();
        latencies[bucket(now - place->began_ns)]++;
        place->began_ns = now;
        place->until_sample = sample_every;
    }
    place->until_sample--;
    submit(place);
}

static uint64_t ns_of(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

static void take(struct snapshot *snapshot) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    snapshot->calls = calls;
    snapshot->at_ns = now_ns();
    snapshot->cpu_ns = ns_of(usage.ru_utime) + ns_of(usage.ru_stime);
    snapshot->switches = (uint64_t)(usage.ru_nvcsw + usage.ru_nivcsw);
    snapshot->allocations = atomic_load_explicit(&allocations, memory_order_relaxed);
    memcpy(snapshot->latencies, latencies, sizeof latencies);
}

static void window_ends(uv_timer_t *timer) {
    const char *separator = "";
    (void)timer;
    take(&after);
    printf("calls=%" PRIu64 " wall_ns=%" PRIu64 " cpu_ns=%" PRIu64 " switches=%" PRIu64
           " allocations=%" PRIu64 " all_calls=%" PRIu64 " latency_ns=",
           after.calls - before.calls, after.at_ns - before.at_ns, after.cpu_ns - before.cpu_ns,
           after.switches - before.switches, after.allocations - before.allocations, after.calls);
    for (size_t i = 0; i < BUCKETS; i++) {
        uint64_t count = after.latencies[i] - before.latencies[i];
        if (count > 0) {
            printf("%s%" PRIu64 "x%" PRIu64, separator, bucket_ns(i), count);
            separator = ",";
        }
    }
    printf("\n");
    fflush(stdout);
    _Exit(0);
}

static void window_begins(uv_timer_t *timer) {
    take(&before);
    uv_timer_start(timer, window_ends, run_ms, 0);
}

static void count_one(void) {
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}

static void *counted_malloc(size_t size) {
    count_one();
    return malloc(size);
}

static void *counted_realloc(void *old, size_t size) {
    count_one();
    return realloc(old, size);
}

static void *counted_calloc(size_t count, size_t size) {
    count_one();
    return calloc(count, size);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts(uv_version_string());
        return 0;
    }
    if (argc != 8) {
        fprintf(stderr, "libuv-peer: 7 arguments are needed, see the head of peer.c\n");
        return 2;
    }
    kind = strcmp(argv[1], "cpu") == 0 ? CPU : strcmp(argv[1], "sleep") == 0 ? SLEEP : NOOP;
    spin_iterations = strtoull(argv[2], NULL, 10);
    size_t in_flight = strtoull(argv[3], NULL, 10);
    uint64_t warm_up_ms = strtoull(argv[4], NULL, 10);
    run_ms = strtoull(argv[5], NULL, 10);
    sample_every = (uint32_t)strtoul(argv[6], NULL, 10);
    if (strcmp(argv[7], "1") == 0) {
        uv_replace_allocator(counted_malloc, counted_realloc, counted_calloc, free);
    }

    struct place *places = calloc(in_flight, sizeof *places);
    uv_timer_t timer;
    if (places == NULL || sample_every == 0 || uv_timer_init(uv_default_loop(), &timer) != 0) {
        fprintf(stderr, "libuv-peer: cannot start\n");
        return 1;
    }
    uv_timer_start(&timer, window_begins, warm_up_ms, 0);
    for (size_t i = 0; i < in_flight; i++) {
        places[i].until_sample = (uint32_t)(i % sample_every);
        places[i].began_ns = now_ns();
        submit(&places[i]);
    }
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
