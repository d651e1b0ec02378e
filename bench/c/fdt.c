/*
 * Flattened device trees with libfdt: its sequential writer, its read functions, its look-up of
 * paths. A root with so many nodes of four properties each.
 */
#include "bench.h"

#include <libfdt.h>

#define LOOKUPS 100u
#define MAX_BLOB (64u << 20)
#define NAMES 4

static char *blob;
static uint32_t few, many;
static char node_name[32], names[NAMES][32];

static void name_node(uint32_t node)
{
	snprintf(node_name, sizeof(node_name), "node@%x", node);
}

/* The same four names for each node, or such as no other node has. */
static void name_props(uint32_t node, int unique)
{
	static const char *const common[NAMES] = { "compatible", "id", "size", "mem" };

	for (int i = 0; i < NAMES; i++) {
		if (unique)
			snprintf(names[i], sizeof(names[i]), "p%d-of-%x", i, node);
		else
			strcpy(names[i], common[i]);
	}
}

static void must(int err)
{
	if (err < 0) {
		fprintf(stderr, "libfdt: %s\n", fdt_strerror(err));
		exit(1);
	}
}

static void write_tree(uint32_t nodes, int unique)
{
	uint32_t id, mem[4];
	uint64_t size;

	name_props(0, 0);
	/* The room needed, as somebody would count it: libfdt clears all it is given. */
	must(fdt_create(blob, 4096 + (int)nodes * (unique ? 200 : 136)));
	must(fdt_finish_reservemap(blob));
	must(fdt_begin_node(blob, ""));
	for (uint32_t node = 0; node < nodes; node++) {
		name_node(node);
		if (unique)
			name_props(node, 1);
		id = node;
		size = (uint64_t)node << 12;
		for (uint32_t i = 0; i < 4; i++)
			mem[i] = node + i;
		must(fdt_begin_node(blob, node_name));
		must(fdt_property(blob, names[0], "node-v1", 8));
		must(fdt_property(blob, names[1], &id, sizeof(id)));
		must(fdt_property(blob, names[2], &size, sizeof(size)));
		must(fdt_property(blob, names[3], mem, sizeof(mem)));
		must(fdt_end_node(blob));
	}
	must(fdt_end_node(blob));
	must(fdt_finish(blob));
}

/* Over every word of the blob. */
static uint32_t checksum(void)
{
	uint32_t bytes = fdt_totalsize(blob), sum = bytes, word;

	for (uint32_t at = 0; at + 4 <= bytes; at += 4) {
		memcpy(&word, blob + at, 4);
		sum = mix(sum, word);
	}
	return sum;
}

static uint32_t timed_write(uint32_t nodes, int unique, int times)
{
	start();
	for (int i = 0; i < times; i++)
		write_tree(nodes, unique);
	stop();
	return checksum();
}

static uint32_t word_of(int node, const char *name)
{
	const void *value = fdt_getprop(blob, node, name, NULL);
	uint32_t word;

	memcpy(&word, value, sizeof(word));
	return word;
}

/* Each property of each node, by its name. */
static uint32_t timed_read(uint32_t nodes, int times)
{
	uint32_t sum = 0;

	write_tree(nodes, 0);
	start();
	for (int i = 0; i < times; i++) {
		int node;

		fdt_for_each_subnode(node, blob, 0)
			for (int p = 0; p < NAMES; p++)
				sum = mix(sum, word_of(node, names[p]));
	}
	stop();
	return sum;
}

static uint32_t timed_paths(uint32_t nodes, int times)
{
	char path[40];
	uint32_t sum = 0;

	write_tree(nodes, 0);
	start();
	for (int i = 0; i < times; i++) {
		for (uint32_t n = 0; n < LOOKUPS; n++) {
			snprintf(path, sizeof(path), "/node@%x",
				 (uint32_t)((uint64_t)n * nodes / LOOKUPS));
			sum = mix(sum, (uint32_t)fdt_path_offset(blob, path));
		}
	}
	stop();
	return sum;
}

static uint32_t write_few(void)
{
	return timed_write(few, 0, 20);
}

static uint32_t write_many(void)
{
	return timed_write(many, 0, 1);
}

static uint32_t write_few_unique(void)
{
	return timed_write(few, 1, 5);
}

static uint32_t write_more_unique(void)
{
	return timed_write(3 * few, 1, 1);
}

static uint32_t read_few(void)
{
	return timed_read(few, 20);
}

static uint32_t read_many(void)
{
	return timed_read(many, 1);
}

static uint32_t paths_few(void)
{
	return timed_paths(few, 20);
}

static uint32_t paths_many(void)
{
	return timed_paths(many, 1);
}

static const struct benchmark all[] = {
	{ "fdt-write-1k", write_few },
	{ "fdt-write-100k", write_many },
	{ "fdt-write-1k-unique", write_few_unique },
	{ "fdt-write-3k-unique", write_more_unique },
	{ "fdt-read-1k", read_few },
	{ "fdt-read-100k", read_many },
	{ "fdt-pass-1k", read_few },
	{ "fdt-pass-100k", read_many },
	{ "fdt-path-1k", paths_few },
	{ "fdt-path-100k", paths_many },
};

int main(int argc, char **argv)
{
	if (argc > 1)
		bench_divisor = (uint32_t)atoi(argv[1]);
	few = 1000 / bench_divisor;
	many = 100000 / bench_divisor;
	blob = must_alloc(MAX_BLOB);
	return serve(all, sizeof(all) / sizeof(all[0]));
}
