/* The kernel's page tables, the unit's walker and its IOTLB: the work they do, at its simplest. */
#include "tables.h"

static uint32_t pages, large_pages;

/* The IOTLB: direct-mapped, four words an entry. */
#define IOTLB_ENTRIES 4096u
static uint32_t iotlb[IOTLB_ENTRIES * 4];

static inline uint32_t iotlb_slot(uint64_t address, uint32_t did, uint32_t high)
{
	uint32_t spread = (high ^ (did << 13)) * 0x9e3779b1u;

	return ((uint32_t)(address >> 12 << 2) ^ (spread >> 12)) & ((IOTLB_ENTRIES - 1) << 2);
}

static inline int iotlb_hit(uint64_t address, uint32_t did, uint32_t need)
{
	uint32_t high = (1u << 29) | (uint32_t)(address >> 28);
	uint32_t low = did | ((uint32_t)(address >> 12) << 16);
	uint32_t at = iotlb_slot(address, did, high);

	return iotlb[at] == high && iotlb[at + 1] == low && iotlb[at + 3] & need
		? (int)iotlb[at + 2] : -1;
}

static void iotlb_fill(uint64_t address, uint32_t did, uint32_t pfn)
{
	uint32_t high = (1u << 29) | (uint32_t)(address >> 28);
	uint32_t low = did | ((uint32_t)(address >> 12) << 16);
	uint32_t at = iotlb_slot(address, did, high);

	iotlb[at] = high;
	iotlb[at + 1] = low;
	iotlb[at + 2] = pfn;
	iotlb[at + 3] = READ | WRITE;
}

/* Over every word of every table, in the order they are collected. */
static uint32_t checksum(uint32_t pgd)
{
	static uint32_t found[TABLE_FRAMES];
	uint32_t count = collect(pgd, LEVELS, found, 0), sum = count;

	for (uint32_t t = 0; t < count; t++) {
		sum = mix(sum, found[t]);
		for (int i = 0; i < 512; i++) {
			uint64_t entry = readable(found[t])[i];

			sum = mix(mix(sum, (uint32_t)entry), (uint32_t)(entry >> 32));
		}
	}
	return sum;
}

static uint32_t map_runs(void)
{
	uint32_t pgd = reset();

	start();
	map(pgd, 0, GUEST_FRAME, pages, READ | WRITE, 1);
	stop();
	return checksum(pgd);
}

static uint32_t map_pages(void)
{
	uint32_t pgd = reset();

	start();
	for (uint32_t i = 0; i < pages; i++)
		map(pgd, i, GUEST_FRAME + i, 1, READ | WRITE, 1);
	stop();
	return checksum(pgd);
}

static uint32_t map_large(void)
{
	uint32_t sum = 0;

	for (int i = 0; i < 8; i++) {
		uint32_t pgd = reset();

		start();
		map(pgd, 0, GUEST_FRAME, (uint64_t)large_pages << 9, READ | WRITE, 2);
		stop();
		sum ^= checksum(pgd) + i;
	}
	return sum;
}

static uint32_t timed_unmap(uint32_t pgd, uint64_t count)
{
	static uint32_t freed[TABLE_FRAMES];
	uint32_t freed_count = 0;
	uint64_t unmapped;

	start();
	unmapped = unmap(pgd, LEVELS, 0, count, freed, &freed_count);
	for (uint32_t i = 0; i < freed_count; i++)
		free_page(freed[i]);
	stop();
	return mix(mix(checksum(pgd), (uint32_t)unmapped), freed_count);
}

static uint32_t unmap_runs(void)
{
	uint32_t pgd = reset();

	map(pgd, 0, GUEST_FRAME, pages, READ | WRITE, 1);
	return timed_unmap(pgd, pages);
}

static uint32_t unmap_large(void)
{
	uint32_t sum = 0;

	for (int i = 0; i < 8; i++) {
		uint32_t pgd = reset();

		map(pgd, 0, GUEST_FRAME, (uint64_t)large_pages << 9, READ | WRITE, 2);
		sum ^= timed_unmap(pgd, (uint64_t)large_pages << 9) + i;
	}
	return sum;
}

static uint32_t walk_sequential(void)
{
	uint32_t pgd = reset(), sum = 0;

	map(pgd, 0, GUEST_FRAME, pages, READ | WRITE, 1);
	start();
	for (uint32_t i = 0; i < pages; i++)
		sum += (uint32_t)walk(pgd, LEVELS, (uint64_t)i << 12, WRITE);
	stop();
	return sum;
}

static uint32_t walk_random(void)
{
	uint32_t pgd = reset(), sum = 0, at = 1;

	map(pgd, 0, GUEST_FRAME, pages, READ | WRITE, 1);
	start();
	for (uint32_t i = 0; i < pages; i++) {
		at = next_random(at);
		sum = sum * 31 + (uint32_t)walk(pgd, LEVELS,
						(uint64_t)((at >> 8) & (pages - 1)) << 12, WRITE);
	}
	stop();
	return sum;
}

static uint32_t iotlb_hits(void)
{
	uint32_t sum = 0, at = 1;

	memset(iotlb, 0, sizeof(iotlb));
	for (uint32_t i = 0; i < IOTLB_ENTRIES; i++)
		iotlb_fill((uint64_t)i << 12, 7, GUEST_FRAME + i);
	start();
	for (uint32_t i = 0; i < 4 * pages; i++) {
		at = next_random(at);
		sum = sum * 31 + (uint32_t)iotlb_hit((uint64_t)(at >> 20) << 12, 7, WRITE);
	}
	stop();
	return sum;
}

static uint32_t timed_compare(uint32_t a, uint32_t b)
{
	int same;

	leaves_seen = 0;
	start();
	same = compare(a, b, LEVELS);
	stop();
	return mix((uint32_t)leaves_seen, (uint32_t)same);
}

/* A tree of single pages, and one of the same with leaves of a level. */
static uint32_t compare_with(int level)
{
	uint32_t a = reset(), b;

	map(a, 0, GUEST_FRAME, pages, READ | WRITE, 1);
	b = alloc_page();
	map(b, 0, GUEST_FRAME, pages, READ | WRITE, level);
	return timed_compare(a, b);
}

static uint32_t compare_equal(void)
{
	return compare_with(1);
}

static uint32_t compare_mixed(void)
{
	return compare_with(2);
}

static uint32_t collect_tables(void)
{
	static uint32_t found[TABLE_FRAMES];
	uint32_t pgd = reset(), sum = 0;

	map(pgd, 0, GUEST_FRAME, pages, READ | WRITE, 1);
	start();
	for (int i = 0; i < 200; i++) {
		uint32_t count = collect(pgd, LEVELS, found, 0);

		sum = mix(mix(sum, count), found[count - 1]);
	}
	stop();
	return sum;
}

static const struct benchmark all[] = {
	{ "map-runs", map_runs },
	{ "map-pages", map_pages },
	{ "map-2m", map_large },
	{ "unmap-runs", unmap_runs },
	{ "unmap-2m", unmap_large },
	{ "walk-sequential", walk_sequential },
	{ "walk-random", walk_random },
	{ "iotlb-hits", iotlb_hits },
	{ "compare-equal", compare_equal },
	{ "compare-mixed", compare_mixed },
	{ "collect", collect_tables },
};

int main(int argc, char **argv)
{
	if (argc > 1)
		bench_divisor = (uint32_t)atoi(argv[1]);
	pages = (1u << 22) / bench_divisor;
	large_pages = (1u << 19) / bench_divisor;
	tables_begin();
	return serve(all, sizeof(all) / sizeof(all[0]));
}
