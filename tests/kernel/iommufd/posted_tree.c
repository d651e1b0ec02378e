/*
 * The tree that the posted series makes of iommufds, through libfdt itself: the calls of seed lines
 * 785-855 and 874-888, with the property of lines 1997-1998, on objects it is told of.
 *
 * Build: cc posted_tree.c -lfdt
 * Input, an object a line, numbers in hex:
 *   iommufd ID | ioas ID HANDLE | area START LENGTH PROT
 * An ioas belongs to the iommufd before it, an area to the ioas before it.
 * Output: the blob in hex.
 */
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char blob[1 << 20];
static int err;
/* Which nodes are open, and the number of the next area. */
static int in_iommufd, in_ioas, area;

static void begin(const char *name)
{
	err |= fdt_begin_node(blob, name);
}

static void begin_number(unsigned long long number)
{
	char name[24];

	snprintf(name, sizeof(name), "%llu", number);
	begin(name);
}

static void end(void)
{
	err |= fdt_end_node(blob);
}

/* As they lie in memory: the machine's byte order. */
static void property64(const char *name, unsigned long long value)
{
	err |= fdt_property(blob, name, &value, 8);
}

static void close_ioas(void)
{
	if (in_ioas)
		end();
	in_ioas = 0;
}

static void close_iommufd(void)
{
	close_ioas();
	if (in_iommufd) {
		end();
		end();
	}
	in_iommufd = 0;
}

int main(void)
{
	static const char compatible[] = "iommufd-v0";
	char line[200], word[20];
	unsigned long long a, b, c;
	unsigned int i;

	err |= fdt_create(blob, sizeof(blob));
	err |= fdt_finish_reservemap(blob);
	begin("");
	begin("iommufd");
	err |= fdt_property(blob, "compatible", compatible, sizeof(compatible));
	begin("iommufds");
	while (fgets(line, sizeof(line), stdin)) {
		a = b = c = 0;
		sscanf(line, "%19s %llx %llx %llx", word, &a, &b, &c);
		if (!strcmp(word, "iommufd")) {
			close_iommufd();
			begin_number(a);
			begin("ioases");
			in_iommufd = 1;
		} else if (!strcmp(word, "ioas")) {
			close_ioas();
			begin_number(a);
			property64("pinned-file-handle", b);
			in_ioas = 1;
			area = 0;
		} else if (!strcmp(word, "area")) {
			int prot = (int)c;

			begin_number(area++);
			property64("iova-start", a);
			property64("iova-len", b);
			err |= fdt_property(blob, "iommu-prot", &prot, sizeof(prot));
			end();
		} else {
			fprintf(stderr, "unknown object %s\n", word);
			return 2;
		}
	}
	close_iommufd();
	end();
	end();
	end();
	err |= fdt_finish(blob);
	if (err) {
		fprintf(stderr, "libfdt: %d\n", err);
		return 1;
	}
	for (i = 0; i < fdt_totalsize(blob); i++)
		printf("%02x", (unsigned char)blob[i]);
	printf("\n");
	return 0;
}
