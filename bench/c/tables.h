/*
 * VT-d second-level page tables: a driver's map, unmap, comparison and collection of table pages;
 * the unit's walker with the checks the hardware makes. The algorithms are those of
 * src/kernel/iommu/intel and src/machine/vtd, and so is the memory: chunks of 1 GiB that exist once
 * something was written to them.
 */
#ifndef TABLES_H
#define TABLES_H

#include "bench.h"

#define READ 1u
#define WRITE 2u
#define LARGE 0x80u
#define SNOOP 0x800u
#define ADDRESS 0x000ffffffffff000ull
/* Beyond the machine's physical addresses: bits 39 to 51, unless said. */
#ifndef RESERVED
#define RESERVED 0x000fff8000000000ull
#endif
#define LEVELS 4
#define TABLE_FRAMES (1u << 17)
#define CHUNK_SHIFT 18
#define CHUNK_FRAMES (1u << CHUNK_SHIFT)
#define FIRST_FREE 256u
#define RAM_END (192u << 18)
#define GUEST_FRAME 0x800000u

static uint64_t *chunks[1u << 12];
static uint8_t *uses;
static uint32_t *stack, stacked, next_free;
static volatile int fail_alloc;

/* The entries of a table, NULL in memory that was never written to. */
static inline uint64_t *readable(uint32_t pfn)
{
	uint64_t *chunk = chunks[pfn >> CHUNK_SHIFT];

	return chunk ? chunk + ((size_t)(pfn & (CHUNK_FRAMES - 1)) << 9) : NULL;
}

static inline uint64_t *writable(uint32_t pfn)
{
	uint64_t **chunk = &chunks[pfn >> CHUNK_SHIFT];

	if (!*chunk)
		*chunk = must_alloc((size_t)CHUNK_FRAMES * 4096);
	return *chunk + ((size_t)(pfn & (CHUNK_FRAMES - 1)) << 9);
}

static uint32_t alloc_page(void)
{
	uint32_t pfn;

	if (fail_alloc)
		return 0;
	pfn = stacked ? stack[--stacked] : next_free++;
	uses[pfn] = 3;
	memset(writable(pfn), 0, 4096);
	return pfn;
}

static inline void free_page(uint32_t pfn)
{
	uses[pfn] = 1;
	stack[stacked++] = pfn;
}

static uint32_t reset(void)
{
	next_free = FIRST_FREE;
	stacked = 0;
	return alloc_page();
}

static inline uint32_t index_at(uint64_t page, int level)
{
	return (page >> (9 * (level - 1))) & 511;
}

static inline uint32_t target(uint64_t entry)
{
	return (uint32_t)((entry & ADDRESS) >> 12);
}

/* The table of a level that covers a page, made where missing; 0 where there can be none. */
static uint32_t descend(uint32_t table, uint64_t page, int level)
{
	for (int at = LEVELS; at > level; at--) {
		uint64_t *entry = &writable(table)[index_at(page, at)];

		if (!(*entry & (READ | WRITE))) {
			uint32_t next = alloc_page();

			if (!next)
				return 0;
			*entry = ((uint64_t)next << 12) | READ | WRITE;
			table = next;
		} else {
			if (*entry & LARGE)
				return 0;
			table = target(*entry);
		}
	}
	return table;
}

/* Maps a run in pages of one level: one descent for each table, then a loop over its entries. */
static int map(uint32_t pgd, uint64_t page, uint64_t pfn, uint64_t count, uint32_t prot, int level)
{
	uint64_t span = 1ull << (9 * (level - 1));
	uint64_t flags = prot | (level > 1 ? LARGE : 0);

	while (count) {
		uint32_t table = descend(pgd, page, level);
		uint32_t index = index_at(page, level);
		uint64_t *leaves = writable(table), entries = count / span;

		if (!table)
			return -1;
		if (entries > 512 - index)
			entries = 512 - index;
		for (uint64_t i = 0; i < entries; i++, pfn += span) {
			if (leaves[index + i] & (READ | WRITE))
				return -1;
			leaves[index + i] = (pfn << 12) | flags;
		}
		page += entries * span;
		count -= entries * span;
	}
	return 0;
}

static uint32_t collect(uint32_t table, int level, uint32_t *into, uint32_t found)
{
	uint64_t *entries = readable(table);

	into[found++] = table;
	if (level == 1 || !entries)
		return found;
	for (int i = 0; i < 512; i++) {
		uint64_t entry = entries[i];

		if (!(entry & (READ | WRITE)) || entry & LARGE)
			continue;
		found = collect(target(entry), level - 1, into, found);
	}
	return found;
}

/* Clears entries of a table of single pages; how many were mapped. */
static inline uint64_t clear_leaves(uint32_t table, uint32_t index, uint64_t count)
{
	uint64_t *entries = writable(table), unmapped = 0;

	for (uint64_t i = index; i < index + count; i++) {
		if (!(entries[i] & (READ | WRITE)))
			continue;
		entries[i] = 0;
		unmapped++;
	}
	return unmapped;
}

static inline uint64_t unmap(uint32_t table, int level, uint64_t page, uint64_t count, uint32_t *freed,
		      uint32_t *freed_count)
{
	uint64_t span = 1ull << (9 * (level - 1)), unmapped = 0;
	uint32_t index = index_at(page, level);
	uint64_t *entries = writable(table);

	if (level == 1)
		return clear_leaves(table, index, count < 512 - index ? count : 512 - index);
	for (; count && index < 512; index++) {
		uint64_t in_entry = span - (page & (span - 1));
		uint64_t *entry = &entries[index];

		if (in_entry > count)
			in_entry = count;
		if (*entry & (READ | WRITE)) {
			if (*entry & LARGE) {
				*entry = 0;
				unmapped += span;
			} else {
				uint32_t next = target(*entry);

				unmapped += unmap(next, level - 1, page, in_entry, freed,
						  freed_count);
				if (in_entry == span) {
					*entry = 0;
					*freed_count = collect(next, level - 1, freed,
							       *freed_count);
				}
			}
		}
		page += in_entry;
		count -= in_entry;
	}
	return unmapped;
}

/* Two trees leaf by leaf; 0 at the first difference. Accessed and dirty bits do not matter. */
#define MATTERS (ADDRESS | READ | WRITE)

static uint64_t leaves_seen;

/* A table of one tree, and the large page that the other has there. */
static int compare_split(uint32_t table, uint64_t large, int level)
{
	uint64_t span = 4096ull << (9 * (level - 1));
	const uint64_t *entries = readable(table);

	for (int i = 0; i < 512; i++, large += span) {
		uint64_t entry = entries[i];

		if (level > 1 && entry & (READ | WRITE) && !(entry & LARGE)) {
			if (!compare_split(target(entry), large, level - 1))
				return 0;
			continue;
		}
		leaves_seen++;
		if ((entry ^ large) & MATTERS)
			return 0;
	}
	return 1;
}

static int compare(uint32_t a, uint32_t b, int level)
{
	const uint64_t *x = readable(a), *y = readable(b);

	if (uses[a] != 3)
		return 0;
	for (int i = 0; i < 512; i++) {
		if (!((x[i] | y[i]) & (READ | WRITE)))
			continue;
		if (level > 1 && !(x[i] & y[i] & (READ | WRITE)))
			return 0;
		if (level > 1 && (x[i] ^ y[i]) & LARGE) {
			if (x[i] & LARGE ? !compare_split(target(y[i]), x[i], level - 1)
					 : !compare_split(target(x[i]), y[i], level - 1))
				return 0;
			continue;
		}
		if (level > 1 && !(x[i] & LARGE)) {
			if (!compare(target(x[i]), target(y[i]), level - 1))
				return 0;
			continue;
		}
		leaves_seen++;
		if ((x[i] ^ y[i]) & MATTERS)
			return 0;
	}
	return 1;
}

/* The hardware's walker: each table must be RAM, each entry grant the access, none be malformed. */
static struct {
	int level;
	uint32_t permission;
	uint32_t ram_first, ram_end;
} walker;

static const uint32_t ram[][2] = { { 0, 0xa0 }, { 0x100, 3u << 18 }, { 4u << 18, RAM_END } };

static int is_ram(uint32_t pfn)
{
	if (pfn >= walker.ram_first && pfn < walker.ram_end)
		return 1;
	for (int i = 0; i < 3; i++) {
		if (pfn >= ram[i][0] && pfn < ram[i][1]) {
			walker.ram_first = ram[i][0];
			walker.ram_end = ram[i][1];
			return 1;
		}
	}
	return 0;
}

static int walk(uint32_t root, int levels, uint64_t address, uint32_t need)
{
	uint64_t page = address >> 12;
	uint32_t permission = READ | WRITE, table = root;

	for (int level = levels;; level--) {
		walker.level = level;
		if (!is_ram(table))
			return -7;
		uint64_t *entries = readable(table);
		uint64_t entry = entries ? entries[index_at(page, level)] : 0;

		permission &= (uint32_t)entry;
		walker.permission = permission;
		if (!(permission & need))
			return need == WRITE ? -5 : -6;
		if (entry & RESERVED)
			return -12;
		if (level == 1)
			return entry & SNOOP ? -12 : (int)target(entry);
		if (entry & LARGE) {
			uint32_t inside = (1u << (9 * (level - 1))) - 1;

			if (level > 3 || entry & SNOOP || target(entry) & inside)
				return -12;
			return (int)(target(entry) | (page & inside));
		}
		table = target(entry);
	}
}

static void tables_begin(void)
{
	uses = must_alloc(TABLE_FRAMES);
	stack = must_alloc(TABLE_FRAMES * 4);
}

#endif
