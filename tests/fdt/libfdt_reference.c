/*
 * Runs the calls it reads through libfdt, for comparison with our writer and reader.
 *
 * Build: cc libfdt_reference.c -lfdt
 * Input, a call a line, names and values in hex after an 'x':
 *   create MAXBYTES | reserve ADDRESS SIZE | begin xNAME | prop xNAME xVALUE | end | finish
 *   read
 * Output, a line a call: the code returned; for a finish without error, the blob in hex; for a
 * read, what libfdt sees of the finished tree: {name(property:length)...{child}...}.
 */
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BLOB (8u << 20)
#define MAX_LINE (1u << 20)

static char blob[MAX_BLOB];
static char line[MAX_LINE];
static int created;
static int opened;

/* Decodes "x4142" in place; returns the number of bytes, and a NUL follows them. */
static int unhex(char *text)
{
	char *from = text + 1;
	int bytes = 0;

	while (from[0] && from[1]) {
		char pair[3] = { from[0], from[1], 0 };

		text[bytes++] = (char)strtoul(pair, NULL, 16);
		from += 2;
	}
	text[bytes] = 0;
	return bytes;
}

static void print_blob(void)
{
	unsigned int size = fdt_totalsize(blob);
	unsigned int i;

	for (i = 0; i < size; i++)
		printf("%02x", (unsigned char)blob[i]);
	printf("\n");
}

static void print_node(int node)
{
	const char *name;
	int length, property, child;

	printf("{%s", fdt_get_name(blob, node, NULL));
	fdt_for_each_property_offset(property, blob, node) {
		fdt_getprop_by_offset(blob, property, &name, &length);
		printf("(%s:%d)", name, length);
	}
	fdt_for_each_subnode(child, blob, node)
		print_node(child);
	printf("}");
}

/* The reserve map is closed before the first call about a node. */
static int enter_struct(void)
{
	int err = 0;

	if (created < 0)
		return created;
	if (!opened) {
		err = fdt_finish_reservemap(blob);
		opened = err == 0;
	}
	return err;
}

static int run(const char *call, char *first, char *second)
{
	int err;

	if (!strcmp(call, "create")) {
		opened = 0;
		created = fdt_create(blob, atoi(first));
		return created;
	}
	if (!strcmp(call, "reserve")) {
		if (created < 0)
			return created;
		return fdt_add_reservemap_entry(blob, strtoull(first, NULL, 0),
						strtoull(second, NULL, 0));
	}
	err = enter_struct();
	if (err)
		return err;
	if (!strcmp(call, "begin")) {
		unhex(first);
		return fdt_begin_node(blob, first);
	}
	if (!strcmp(call, "prop")) {
		int length = unhex(second);

		unhex(first);
		return fdt_property(blob, first, second, length);
	}
	if (!strcmp(call, "end"))
		return fdt_end_node(blob);
	if (!strcmp(call, "finish"))
		return fdt_finish(blob);
	fprintf(stderr, "unknown call %s\n", call);
	exit(2);
}

int main(void)
{
	while (fgets(line, sizeof(line), stdin)) {
		char *call = strtok(line, " \n");
		char *first = strtok(NULL, " \n");
		char *second = strtok(NULL, " \n");
		int code;

		if (!strcmp(call, "read")) {
			print_node(0);
			printf("\n");
			continue;
		}
		code = run(call, first, second);
		if (code == 0 && !strcmp(call, "finish"))
			print_blob();
		else
			printf("%d\n", code);
	}
	return 0;
}
