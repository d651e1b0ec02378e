/*
 * What every C reference has in common: the line protocol of a contender, the clock, the checksum.
 *
 * A contender reads the name of a benchmark a line and answers "NANOSECONDS CHECKSUM". Only what
 * lies between start() and stop() counts, which may come several times. Its argument is a number that all sizes are divided by.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t bench_began, bench_took;
static uint32_t bench_divisor = 1;

/* CPU time: what else the machine does meanwhile is nobody's fault. */
static uint64_t bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void start(void)
{
	bench_began = bench_now();
}

static void stop(void)
{
	bench_took += bench_now() - bench_began;
}

/* One step of the checksum: the same in ours/side.ts. */
static inline uint32_t mix(uint32_t sum, uint32_t word)
{
	sum = (sum ^ word) * 0x9e3779b1u;
	return sum ^ (sum >> 15);
}

/* The next of a fixed sequence of pseudo-random numbers: ours has it inline. */
static inline uint32_t next_random(uint32_t state)
{
	return state * 1664525u + 1013904223u;
}

struct benchmark {
	const char *name;
	uint32_t (*run)(void);
};

static void *must_alloc(size_t bytes)
{
	void *memory = calloc(1, bytes);

	if (!memory) {
		fprintf(stderr, "no memory for %zu bytes\n", bytes);
		exit(1);
	}
	return memory;
}

static int serve(const struct benchmark *all, size_t count)
{
	char line[80];

	while (fgets(line, sizeof(line), stdin)) {
		size_t i;

		line[strcspn(line, "\n")] = 0;
		for (i = 0; i < count && strcmp(all[i].name, line) != 0; i++)
			;
		if (i == count) {
			fprintf(stderr, "no benchmark %s\n", line);
			return 2;
		}
		bench_took = 0;
		uint32_t sum = all[i].run();

		printf("%llu %u\n", (unsigned long long)bench_took, sum);
		fflush(stdout);
	}
	return 0;
}

#endif
