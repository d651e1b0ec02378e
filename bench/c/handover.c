/*
 * The table work of one live update of a guest, and nothing besides: its memory is mapped, the table
 * pages are collected to be handed over, then it is mapped once more, the two trees are compared, and
 * the unit walks each leaf once. On memory that served before, and is cleared for the next one, as ours.
 */
/* Bits 43 to 51. */
#define RESERVED 0x000ff80000000000ull
#include "tables.h"

#define GIB_PAGES (1u << 18)
/* Where the guest's memory begins as devices see it. */
#define FIRST_PAGE (4ull * GIB_PAGES + 512)

/* What a machine leaves to the next one: zeros. */
static void clear_memory(void)
{
	memset(writable(FIRST_FREE), 0, (size_t)(next_free - FIRST_FREE) * 4096);
}

static uint32_t update(uint64_t guest_pages, int level)
{
	static uint32_t found[TABLE_FRAMES];
	uint64_t step = 1ull << (9 * (level - 1)), pages = guest_pages / bench_divisor;
	uint32_t old, fresh, tables, same, walked = 0;

	old = reset();
	leaves_seen = 0;
	start();
	map(old, FIRST_PAGE, GUEST_FRAME, pages, READ | WRITE, level);
	tables = collect(old, LEVELS, found, 0);
	fresh = alloc_page();
	map(fresh, FIRST_PAGE, GUEST_FRAME, pages, READ | WRITE, level);
	same = (uint32_t)compare(old, fresh, LEVELS);
	for (uint64_t page = 0; page < pages; page += step)
		walked += walk(old, LEVELS, (FIRST_PAGE + page) << 12, WRITE) ==
			  (int)(GUEST_FRAME + page);
	clear_memory();
	stop();
	return mix(mix(mix(tables, same), (uint32_t)leaves_seen), walked);
}

static uint32_t small_1g(void)
{
	return update(1u * GIB_PAGES, 1);
}

static uint32_t small_8g(void)
{
	return update(8u * GIB_PAGES, 1);
}

static uint32_t small_64g(void)
{
	return update(64u * GIB_PAGES, 1);
}

static uint32_t large_64g(void)
{
	return update(64u * GIB_PAGES, 2);
}

static uint32_t large_256g(void)
{
	return update(256u * GIB_PAGES, 2);
}

static uint32_t large_1t(void)
{
	return update(1024u * GIB_PAGES, 2);
}

static const struct benchmark all[] = {
	{ "handover-1g-4k", small_1g },
	{ "handover-8g-4k", small_8g },
	{ "handover-64g-4k", small_64g },
	{ "handover-64g-2m", large_64g },
	{ "handover-256g-2m", large_256g },
	{ "handover-1t-2m", large_1t },
};

int main(int argc, char **argv)
{
	if (argc > 1)
		bench_divisor = (uint32_t)atoi(argv[1]);
	tables_begin();
	return serve(all, sizeof(all) / sizeof(all[0]));
}
