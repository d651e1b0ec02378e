/*
 * The tree that the posted series makes, through libfdt itself, on objects it is told of: iommufds
 * (the calls of seed lines 785-855, 874-888, 1997-1998), and VT-d domains with the page tables that
 * lie in memory (the walk of lines 1441-1466, the calls of 1478-1524 and 1305-1317). The code is our
 * own; what it does is what the seed does, mistakes and all.
 *
 * Build: cc posted_blob.c -lfdt
 * Argument: iommufd, intel-iommu: that node alone below a root; whole: everything there is.
 * Input, an object a line, numbers in hex:
 *   iommufd ID | ioas ID HANDLE | area START LENGTH PROT
 *   page ADDRESS | entry INDEX VALUE          a page of memory, and what is not zero in it
 *   domain ID PGD AGAW | device BUS DEVFN     devices in the order in which they were attached
 *   begin NAME | prop NAME HEX | end          anything else in the tree, as it is
 * An ioas belongs to the iommufd before it, and so on.
 * Output: the blob in hex, then for each domain the number of entries in "mem". Where the walk goes
 * to memory that is not there, "fault ADDRESS" instead.
 */
#include <libfdt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096ull
#define ENTRIES 512
#define MAX_LINES 65536
#define MAX_PAGES 4096
#define MAX_MEM 65536

struct line {
	char word[16], name[64];
	uint64_t a, b, c;
	char *hex;
};

struct mem {
	uint64_t address, length;
};

struct page {
	uint64_t address, entries[ENTRIES];
};

static char blob[4 << 20], text[1 << 20];
static struct line lines[MAX_LINES];
static struct page pages[MAX_PAGES];
static struct mem found[MAX_MEM];
static int count, pages_known, entries_found, err;
static int counts[64], domains;

static void begin(const char *name)
{
	err |= fdt_begin_node(blob, name);
}

static void begin_number(uint64_t number)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
	begin(name);
}

static void end(void)
{
	err |= fdt_end_node(blob);
}

/* As they lie in memory: the machine's byte order. */
static void property(const char *name, const void *value, int length)
{
	err |= fdt_property(blob, name, value, length);
}

static void property64(const char *name, uint64_t value)
{
	property(name, &value, sizeof(value));
}

static void compatible(const char *value)
{
	property("compatible", value, (int)strlen(value) + 1);
}

static int is(int i, const char *word)
{
	return i < count && strcmp(lines[i].word, word) == 0;
}

/* Areas of an ioas from line `i` on; the line after the last. */
static int areas(int i)
{
	int index = 0;

	for (; is(i, "area"); i++) {
		int prot = (int)lines[i].c;

		begin_number(index++);
		property64("iova-start", lines[i].a);
		property64("iova-len", lines[i].b);
		property("iommu-prot", &prot, sizeof(prot));
		end();
	}
	return i;
}

static void iommufds(void)
{
	int i = 0;

	begin("iommufd");
	compatible("iommufd-v0");
	begin("iommufds");
	while (i < count) {
		if (!is(i, "iommufd")) {
			i++;
			continue;
		}
		begin_number(lines[i++].a);
		begin("ioases");
		while (is(i, "ioas")) {
			begin_number(lines[i].a);
			property64("pinned-file-handle", lines[i].b);
			i = areas(i + 1);
			end();
		}
		end();
		end();
	}
	end();
	end();
}

/* A page of memory, entry by entry; ends the program where there is none. */
static const uint64_t *page_at(uint64_t address)
{
	int i;

	for (i = 0; i < pages_known; i++)
		if (pages[i].address == address)
			return pages[i].entries;
	printf("fault %llx\n", (unsigned long long)address);
	exit(0);
}

/* What is listed from an entry on: the entry is taken for one that leads to a table of `level`. */
static void list_below(uint64_t entry, int level)
{
	const uint64_t *table;
	int i;

	if (level == 1)
		return;
	table = page_at(entry & ~(PAGE - 1));
	for (i = 0; i < ENTRIES; i++) {
		if (!(table[i] & 3))
			continue;
		found[entries_found].address = table[i] & ~(PAGE - 1);
		found[entries_found++].length = PAGE;
		if (!(table[i] & (1 << 7)))
			list_below(table[i], level - 1);
	}
}

/* A list that grows at its head is written from the last one back. */
static void devices(int first, int last)
{
	int index = 0, i;

	begin("devices");
	for (i = last; i >= first; i--) {
		uint8_t bus = (uint8_t)lines[i].a, devfn = (uint8_t)lines[i].b;

		begin_number(index++);
		property("bus", &bus, sizeof(bus));
		property("devfn", &devfn, sizeof(devfn));
		end();
	}
	end();
}

static void intel(void)
{
	int i, last;

	begin("intel-iommu");
	compatible("intel-iommu-v0");
	begin("domains");
	for (i = 0; i < count; i++) {
		uint64_t pgd = lines[i].b;
		int agaw = (int)lines[i].c;

		if (!is(i, "domain"))
			continue;
		entries_found = 0;
		list_below(page_at(pgd)[0], agaw + 2);
		counts[domains++] = entries_found;
		begin_number(lines[i].a);
		property("mem", found, entries_found * (int)sizeof(*found));
		property64("persistent_id", lines[i].a);
		property64("pgd", pgd);
		property("agaw", &agaw, sizeof(agaw));
		for (last = i; is(last + 1, "device"); last++)
			;
		devices(i + 1, last);
		end();
	}
	end();
	end();
}

static void anything_else(void)
{
	static uint8_t value[1 << 18];
	int i, length;

	for (i = 0; i < count; i++) {
		if (is(i, "begin"))
			begin(lines[i].name);
		if (is(i, "end"))
			end();
		if (!is(i, "prop"))
			continue;
		for (length = 0; lines[i].hex[2 * length]; length++) {
			char byte[3] = { lines[i].hex[2 * length], lines[i].hex[2 * length + 1], 0 };

			value[length] = (uint8_t)strtoul(byte, NULL, 16);
		}
		property(lines[i].name, value, length);
	}
}

static void read_lines(void)
{
	for (; fgets(text, sizeof(text), stdin); count++) {
		struct line *line = &lines[count];
		unsigned long long a = 0, b = 0, c = 0;
		char *hex;

		text[strcspn(text, "\n")] = 0;
		sscanf(text, "%15s %63s", line->word, line->name);
		sscanf(text, "%*s %llx %llx %llx", &a, &b, &c);
		line->a = a;
		line->b = b;
		line->c = c;
		hex = strrchr(text, ' ');
		line->hex = strdup(strcmp(line->word, "prop") || !hex ? "" : hex + 1);
		if (!strcmp(line->word, "page"))
			pages[pages_known++].address = a;
		if (!strcmp(line->word, "entry"))
			pages[pages_known - 1].entries[a] = b;
	}
}

int main(int argc, char **argv)
{
	const char *part = argc > 1 ? argv[1] : "whole";
	int whole = !strcmp(part, "whole"), i;

	read_lines();
	err |= fdt_create(blob, sizeof(blob));
	err |= fdt_finish_reservemap(blob);
	begin("");
	if (whole)
		compatible("kho-v1");
	if (whole || !strcmp(part, "intel-iommu"))
		intel();
	if (whole || !strcmp(part, "iommufd"))
		iommufds();
	if (whole)
		anything_else();
	end();
	err |= fdt_finish(blob);
	if (err) {
		fprintf(stderr, "libfdt: %d\n", err);
		return 1;
	}
	for (i = 0; i < (int)fdt_totalsize(blob); i++)
		printf("%02x", (unsigned char)blob[i]);
	printf("\n");
	for (i = 0; i < domains; i++)
		printf("%d\n", counts[i]);
	return 0;
}
