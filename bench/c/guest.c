/*
 * Checking a guest's memory: zlib's CRC of each page against what it was when the guest paused.
 */
#include "bench.h"

#include <zlib.h>

#define PAGE 4096u

static uint8_t *memory;
static uint32_t *sealed, pages;

/* What is in the guest's memory: no page is like another. */
static void fill(void)
{
	uint32_t *words = (uint32_t *)memory;

	for (size_t i = 0; i < (size_t)pages * (PAGE / 4); i++)
		words[i] = (uint32_t)i * 0x9e3779b1u;
}

/* The first page that is not what it was. */
static uint32_t check(void)
{
	for (uint32_t page = 0; page < pages; page++) {
		if (crc32(0, memory + (size_t)page * PAGE, PAGE) != sealed[page])
			return page;
	}
	return pages;
}

static uint32_t check_guest(void)
{
	uint32_t sum, *word;

	if (!memory) {
		memory = must_alloc((size_t)pages * PAGE);
		sealed = must_alloc(pages * sizeof(*sealed));
		fill();
		for (uint32_t page = 0; page < pages; page++)
			sealed[page] = (uint32_t)crc32(0, memory + (size_t)page * PAGE, PAGE);
	}
	start();
	sum = check();
	stop();
	/* That it would be seen is part of it. */
	word = (uint32_t *)(memory + (size_t)(pages - 3) * PAGE);
	word[5] ^= 1;
	sum = mix(sum, check());
	word[5] ^= 1;
	return sum;
}

static const struct benchmark all[] = {
	{ "guest-check", check_guest },
};

int main(int argc, char **argv)
{
	if (argc > 1)
		bench_divisor = (uint32_t)atoi(argv[1]);
	pages = (1u << 20) / bench_divisor;
	return serve(all, 1);
}
