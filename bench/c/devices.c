/*
 * Ten thousand devices: their event queue, and their DMA through a VT-d unit. The algorithms are
 * those of src/base/event_queue.ts, src/machine and src/health: a unit's caches and walker, the hash
 * over everything that happens, what is metered of each device, whose memory it reaches.
 */
#include "bench.h"

#define DEVICES (10000 / bench_divisor)
#define EVENTS (2000000 / bench_divisor)
/* Events of each card before it counts: by then it has been to its pages, and caches know them. */
#define FIRST_EVENTS 8

/*
 * The queue: a binary heap, whose top place stays vacant while an event's handler runs. Times are
 * whole numbers in doubles, as ours are.
 */
struct event {
	double time, order;
	uint32_t handler;
	int32_t argument;
};

static struct event *heap;
static uint32_t heap_size, heap_room;
static int vacant;
static double sequence;
static uint64_t now;
static void (*handlers[8])(int32_t);
static uint32_t handler_count;

static uint32_t on_event(void (*handler)(int32_t))
{
	handlers[handler_count] = handler;
	return handler_count++;
}

static void queue_reset(void)
{
	heap_size = handler_count = 0;
	vacant = 0;
	now = sequence = 0;
}

static void sink(struct event e)
{
	uint32_t at = 0;

	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= heap_size)
			break;
		if (child + 1 < heap_size &&
		    (heap[child + 1].time < heap[child].time ||
		     (heap[child + 1].time == heap[child].time && heap[child + 1].order < heap[child].order)))
			child++;
		if (heap[child].time > e.time || (heap[child].time == e.time && heap[child].order > e.order))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = e;
}

static void rise(struct event e)
{
	uint32_t at = heap_size++;

	if (at == heap_room) {
		heap_room = heap_room ? 2 * heap_room : 64;
		heap = realloc(heap, heap_room * sizeof(*heap));
	}
	while (at > 0 && heap[(at - 1) / 2].time > e.time) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = e;
}

static void after(double delay, uint32_t handler, int32_t argument)
{
	struct event e = { (double)now + delay, sequence++, handler, argument };

	if (vacant) {
		vacant = 0;
		sink(e);
	} else {
		rise(e);
	}
}

static int step(void)
{
	struct event top;

	if (vacant) {
		vacant = 0;
		if (--heap_size)
			sink(heap[heap_size]);
	}
	if (!heap_size)
		return 0;
	top = heap[0];
	now = (uint64_t)top.time;
	vacant = 1;
	handlers[top.handler](top.argument);
	return 1;
}

/* Every device has its own pace. */
static int32_t *pace;

static void set_paces(void)
{
	uint32_t state = 1;

	if (!pace)
		pace = must_alloc(10000 * sizeof(*pace));
	for (uint32_t i = 0; i < DEVICES; i++) {
		state = next_random(state);
		pace[i] = 50000 + (state >> 16);
	}
}

static uint32_t tick_event, tick_sum;

static void tick(int32_t device)
{
	tick_sum = tick_sum * 31 + device;
	after(pace[device], tick_event, device);
}

static uint32_t queue_heap(void)
{
	queue_reset();
	set_paces();
	tick_event = on_event(tick);
	tick_sum = 0;
	for (uint32_t i = 0; i < DEVICES; i++)
		after(pace[i], tick_event, i);
	start();
	for (uint32_t i = 0; i < EVENTS; i++)
		step();
	stop();
	return tick_sum;
}

/* Memory below 3 GiB: frames are handed out one after the other. */
#define READ 1u
#define WRITE 2u
#define RESERVED 0x000fff8000000000ull
#define FIRST_FREE 0x100u
#define DEVICE_FRAMES 13
#define RAM_END (3u << 18)

static uint64_t *ram;
static int16_t *owners;
/* A byte for each frame that was ever written: what a core dump has to hold. */
static uint8_t *written;
static uint32_t next_frame;

static uint64_t *frame(uint32_t pfn)
{
	return ram + ((size_t)pfn << 9);
}

static uint32_t take_frame(void)
{
	return next_frame++;
}

/* The hash over everything that happened. */
static uint32_t hash_a = 0x6a09e667, hash_b = 0xbb67ae85, hash_count;

static void hash_mix(uint32_t x, uint32_t y, uint32_t z)
{
	uint32_t a = (hash_a ^ x) * 0x9e3779b1u, b;

	a ^= a >> 15;
	b = (hash_b ^ y ^ a) * 0x85ebca77u;
	b ^= b >> 13;
	hash_a = (a ^ z ^ b) * 0xc2b2ae3du;
	hash_b = b;
	hash_count++;
}

/* What an access gives to it: three words, the second one with the low word of its address. */
struct access_words {
	uint32_t x, y, z;
};

static struct access_words access_words(uint32_t who, uint64_t iova, uint32_t outcome)
{
	struct access_words words = {
		(uint32_t)now ^ who * 0x9e3779b1u,
		(uint32_t)(iova >> 32) * 0x9e3779b1u,
		outcome ^ (uint32_t)(now >> 32) * 0x9e3779b1u,
	};

	return words;
}

/* The unit: a context cache, an IOTLB, a paging-structure cache, a walker. */
#define IOTLB_ENTRIES 1024

struct context {
	uint32_t valid, did, asr;
};

static struct context *contexts;
static uint32_t iotlb[IOTLB_ENTRIES * 4];
static uint32_t root_pfn;
static int64_t unit_stands;

static void read_context(uint32_t sid)
{
	uint64_t root = frame(root_pfn)[(sid >> 8) * 2];
	uint64_t *entry;

	unit_stands++;
	if (!(root & 1) || root & RESERVED)
		return;
	entry = frame((uint32_t)(root >> 12)) + (sid & 255) * 2;
	if (!(entry[0] & 1) || entry[0] & RESERVED)
		return;
	contexts[sid].valid = 1;
	contexts[sid].did = (uint32_t)(entry[1] >> 8) & 0xffff;
	contexts[sid].asr = (uint32_t)(entry[0] >> 12);
}

/*
 * The entries that lead to tables of level 1, by domain id; grows with what is in use. Address bits
 * 21-52; DID and a bit that says that there is one; table; permission.
 */
#define FEW 32
#define MANY (1 << 15)

static struct {
	uint32_t *words, mask, live;
} inner;

static uint32_t inner_slot(uint32_t low, uint32_t high)
{
	return ((low * 0x9e3779b1u >> 17) ^ (high & 0xffff)) << 2 & inner.mask;
}

static void inner_size(uint32_t entries)
{
	inner.words = must_alloc(entries * 16);
	inner.mask = (entries - 1) << 2;
	inner.live = 0;
}

static void inner_fill(uint32_t low, uint32_t high, uint32_t table, uint32_t permission)
{
	uint32_t at, *old = inner.words, end = inner.mask + 4;

	if (inner.live * 8 > end && end < MANY * 4) {
		inner_size(end / 2);
		for (at = 0; at < end; at += 4)
			if (old[at + 1])
				inner_fill(old[at], old[at + 1], old[at + 2], old[at + 3]);
		free(old);
	}
	at = inner_slot(low, high);
	inner.live += !inner.words[at + 1];
	inner.words[at] = low;
	inner.words[at + 1] = high;
	inner.words[at + 2] = table;
	inner.words[at + 3] = permission;
}

static int is_ram(uint32_t pfn)
{
	return pfn < 0xa0 || (pfn >= 0x100 && pfn < RAM_END);
}

/* From a table of a level on; what the entries above it grant. */
static int32_t walk(uint32_t table, int level, uint32_t above, uint64_t iova, uint32_t need, uint32_t did)
{
	for (;; level--) {
		uint64_t entry;
		uint32_t permission;

		if (!is_ram(table))
			return -7;
		entry = frame(table)[(iova >> (3 + 9 * level)) & 511];
		permission = above & (uint32_t)entry;
		if (!(permission & need) || entry & RESERVED)
			return -6;
		if (level == 1) {
			if (did)
				inner_fill((uint32_t)(iova >> 21), did, table, above);
			return (int32_t)(entry >> 12);
		}
		table = (uint32_t)(entry >> 12);
		above = permission;
	}
}

static int32_t translate(uint32_t sid, uint64_t iova, int write)
{
	struct context *context = &contexts[sid];
	uint32_t need = write ? WRITE : READ;
	uint32_t high, low, at, in;
	int32_t pfn;

	if (iova >> 20 == 0xfee)
		return -1002;
	if (!context->valid)
		read_context(sid);
	if (!context->valid || iova >> 48)
		return -2;
	high = (1u << 29) | (uint32_t)(iova >> 28);
	low = context->did | ((uint32_t)(iova >> 12) << 16);
	at = ((uint32_t)(iova >> 12 << 2) ^ (((high ^ (context->did << 13)) * 0x9e3779b1u) >> 12)) &
		((IOTLB_ENTRIES - 1) << 2);
	if (iotlb[at] == high && iotlb[at + 1] == low && iotlb[at + 3] & need)
		return (int32_t)iotlb[at + 2];
	unit_stands++;
	in = inner_slot((uint32_t)(iova >> 21), context->did);
	if (inner.words[in] == (uint32_t)(iova >> 21) && inner.words[in + 1] == (context->did | 1u << 16))
		pfn = walk(inner.words[in + 2], 1, inner.words[in + 3], iova, need, 0);
	else
		pfn = walk(context->asr, 4, READ | WRITE, iova, need, context->did | 1u << 16);
	if (pfn >= 0) {
		iotlb[at] = high;
		iotlb[at + 1] = low;
		iotlb[at + 2] = (uint32_t)pfn;
		iotlb[at + 3] = READ | WRITE;
	}
	return pfn;
}

/* What is metered of a device. */
#define BUCKET 20000000u
#define BUCKETS 128

/* What each access changes comes first: it is a cache line. */
struct meter {
	int64_t last_done, busy_since;
	uint64_t bucket, in_bucket, reads, writes, bytes;
	int starved, guest;
	int64_t longest_gap, longest_gap_end, window_gap, window_start;
	int32_t *history;
};

static uint64_t bucket, bucket_end;

/* A card, with its way to memory. */
struct device {
	int32_t fn;
	uint32_t sid;
	struct meter meter;
	uint32_t pace, stream, event;
	uint64_t ring;
	uint32_t head, tail, length, enabled, busy;
	uint32_t arrived, delivered, starved, errors;
};

static struct device *devices;
static uint64_t strays;

/* The last access: what follows goes, as a rule, into the same page. */
static struct {
	uint64_t now, page;
	int64_t stands;
	int32_t fn, pfn;
	struct access_words words;
	/* Where it is to be counted, and what is not yet. */
	struct meter *meter;
	uint64_t *counter;
	uint32_t times, bytes;
	/* Nothing was wrong with it while no frame changed hands. */
	int64_t fine;
} last;

static int64_t owner_changes;

static void end_gap(struct meter *meter)
{
	int64_t gap, in_window;

	if (meter->busy_since < 0)
		return;
	gap = (int64_t)now -
		(meter->busy_since > meter->last_done ? meter->busy_since : meter->last_done);
	in_window = (int64_t)now - meter->window_start;
	if (in_window > gap)
		in_window = gap;
	if (in_window > meter->window_gap)
		meter->window_gap = in_window;
	if (gap > meter->longest_gap) {
		meter->longest_gap = gap;
		meter->longest_gap_end = (int64_t)now;
	}
}

static void metered_again(uint32_t bytes)
{
	last.times++;
	last.bytes += bytes;
}

static void settle(void)
{
	if (!last.times)
		return;
	last.meter->in_bucket += last.times;
	*last.counter += last.times;
	last.meter->bytes += last.bytes;
	last.times = last.bytes = 0;
}

/* The bucket that filled so far goes to the ring. */
static void turn_bucket(struct meter *meter)
{
	if (!meter->history)
		meter->history = must_alloc(BUCKETS * 4);
	meter->history[meter->bucket % BUCKETS] = (int32_t)meter->in_bucket;
	for (uint64_t i = meter->bucket + 1; i <= bucket; i++)
		meter->history[i % BUCKETS] = 0;
	meter->bucket = bucket;
	meter->in_bucket = 0;
}

static void metered(struct device *device, uint32_t pfn, uint32_t bytes, int write)
{
	struct meter *meter = &device->meter;

	settle();
	if (meter->last_done != (int64_t)now) {
		end_gap(meter);
		meter->last_done = (int64_t)now;
		if (now >= bucket_end) {
			bucket = now / BUCKET;
			bucket_end = (bucket + 1) * BUCKET;
		}
		if (meter->bucket != bucket)
			turn_bucket(meter);
	}
	meter->starved = 0;
	last.meter = meter;
	last.counter = write ? &meter->writes : &meter->reads;
	metered_again(bytes);
	last.fine = owner_changes;
	if (owners[pfn] != meter->guest) {
		last.fine = -1;
		strays++;
	}
}

/* The frame that an access inside one page reaches, or a negative reason. */
static int32_t dma(struct device *device, uint64_t iova, uint32_t bytes, int write)
{
	uint64_t page = (iova & ~0xfffull) | (uint64_t)write;
	int again = last.page == page && last.fn == device->fn && last.stands == unit_stands;
	int32_t pfn = last.pfn;

	if (again && last.now == now && last.fine == owner_changes) {
		metered_again(bytes);
		hash_mix(last.words.x, (uint32_t)iova ^ last.words.y, last.words.z);
		return pfn;
	}
	if (!again) {
		last.stands = -1;
		pfn = translate(device->sid, iova, write);
		if (pfn >= 0 && !is_ram((uint32_t)pfn))
			pfn = -1001;
	}
	last.now = now;
	last.words = access_words((uint32_t)device->fn, iova, (uint32_t)pfn);
	hash_mix(last.words.x, (uint32_t)iova ^ last.words.y, last.words.z);
	if (pfn < 0) {
		strays++;
		return pfn;
	}
	metered(device, (uint32_t)pfn, bytes, write);
	if (!again) {
		last.stands = unit_stands;
		last.fn = device->fn;
		last.page = page;
		last.pfn = pfn;
	}
	return pfn;
}

static int dma_read(struct device *device, uint64_t iova, uint32_t *into, uint32_t words)
{
	int32_t pfn = dma(device, iova, words * 4, 0);
	uint32_t *at;

	if (pfn < 0)
		return 0;
	at = (uint32_t *)frame((uint32_t)pfn) + ((iova & 0xfff) >> 2);
	for (uint32_t i = 0; i < words; i++)
		into[i] = at[i];
	return 1;
}

static int dma_write(struct device *device, uint64_t iova, const uint32_t *from, uint32_t words)
{
	int32_t pfn = dma(device, iova, words * 4, 1);
	uint32_t *at;

	if (pfn < 0)
		return 0;
	written[pfn] = 1;
	at = (uint32_t *)frame((uint32_t)pfn) + ((iova & 0xfff) >> 2);
	for (uint32_t i = 0; i < words; i++)
		at[i] = from[i];
	return 1;
}

static uint32_t mix32(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t h = ((a ^ 0x9e3779b9u) * 0x85ebca6bu) ^ ((b ^ 0x27d4eb2fu) * 0xc2b2ae35u) ^ c;

	h = (h ^ (h >> 16)) * 0x7feb352du;
	h = (h ^ (h >> 15)) * 0x846ca68bu;
	return h ^ (h >> 16);
}

static uint32_t packet_checksum(uint32_t sum, uint32_t word)
{
	uint32_t h = (sum ^ word) * 0x9e3779b1u;

	return ((h << 13) | (h >> 19)) + word;
}

#define PACKET_WORDS 64
#define RING_ENTRIES 256
#define BUFFERS 16
#define RING_IOVA 0x8000ull
#define BUFFER_IOVA 0x200000ull

static void fill_packet(uint32_t *into, uint32_t stream, uint32_t packet)
{
	uint32_t sum, word = mix32(stream, packet, 0);

	into[0] = packet;
	into[1] = stream;
	sum = packet_checksum(packet_checksum(0, packet), stream);
	for (int i = 2; i < PACKET_WORDS - 1; i++) {
		word = next_random(word);
		into[i] = word;
		sum = packet_checksum(sum, word);
	}
	into[PACKET_WORDS - 1] = sum;
}

static int receive(struct device *device)
{
	uint32_t descriptor[4], packet[PACKET_WORDS];
	uint64_t at = device->ring + device->head * 16;

	if (!dma_read(device, at, descriptor, 4))
		return 0;
	fill_packet(packet, device->stream, device->arrived);
	if (!dma_write(device, descriptor[0] & ~3u, packet, PACKET_WORDS))
		return 0;
	descriptor[2] = PACKET_WORDS * 4;
	descriptor[3] = 3;
	return dma_write(device, at, descriptor, 4);
}

static void tell_work(struct device *device)
{
	uint32_t busy = device->enabled && device->length && device->head != device->tail;

	if (busy == device->busy)
		return;
	device->busy = busy;
	if (busy && device->meter.busy_since < 0)
		device->meter.busy_since = (int64_t)now;
	if (!busy) {
		end_gap(&device->meter);
		device->meter.busy_since = -1;
	}
}

static void arrive(int32_t fn)
{
	struct device *device = &devices[fn];

	after(device->pace, device->event, fn);
	device->arrived++;
	if (!device->enabled)
		return;
	if (!device->length || device->head == device->tail) {
		device->starved++;
		device->meter.starved = 1;
	} else if (receive(device)) {
		device->delivered++;
		device->head = (device->head + 1) * 16 >= device->length ? 0 : device->head + 1;
		tell_work(device);
	} else {
		device->errors++;
	}
}

#define BURST 16
#define PAYLOAD_WORDS 16

/* A kibibyte in payloads of 64 bytes, the way a bus takes it. */
static void burst(int32_t fn)
{
	struct device *device = &devices[fn];
	uint64_t page = BUFFER_IOVA + (device->arrived++ % (BUFFERS / 2)) * 4096;
	uint32_t payload[PAYLOAD_WORDS] = { device->arrived };

	after(device->pace, device->event, fn);
	for (uint32_t i = 0; i < BURST; i++) {
		payload[1] = i;
		if (dma_write(device, page + i * PAYLOAD_WORDS * 4, payload, PAYLOAD_WORDS))
			device->delivered++;
	}
}

/* A domain of its own for each device, with a ring of descriptors and sixteen buffers. */
static void map_device(struct device *device)
{
	uint32_t tables[4], ring, pages[BUFFERS / 2];

	for (int i = 0; i < 4; i++)
		tables[i] = take_frame();
	ring = take_frame();
	for (int i = 0; i < BUFFERS / 2; i++)
		pages[i] = take_frame();
	for (int i = 0; i < 2; i++)
		frame(tables[i])[0] = ((uint64_t)tables[i + 1] << 12) | READ | WRITE;
	frame(tables[2])[0] = ((uint64_t)tables[3] << 12) | READ | WRITE;
	frame(tables[2])[1] = ((uint64_t)tables[3] << 12) | READ | WRITE;
	frame(tables[3])[RING_IOVA >> 12] = ((uint64_t)ring << 12) | READ | WRITE;
	for (int i = 0; i < BUFFERS / 2; i++)
		frame(tables[3])[i] = ((uint64_t)pages[i] << 12) | READ | WRITE;
	for (uint64_t i = 0; i < RING_ENTRIES; i++)
		frame(ring)[i * 2] = BUFFER_IOVA + i % BUFFERS * 2048;
	frame(root_pfn)[(device->sid >> 8) * 2] = ((uint64_t)(root_pfn + 1 + (device->sid >> 8)) << 12) | 1;
	frame(root_pfn + 1 + (device->sid >> 8))[(device->sid & 255) * 2] = ((uint64_t)tables[0] << 12) | 1;
	frame(root_pfn + 1 + (device->sid >> 8))[(device->sid & 255) * 2 + 1] =
		((uint64_t)(device->fn + 1) << 8) | 2;
	for (uint32_t pfn = ring; pfn < next_frame; pfn++)
		owners[pfn] = 1;
}

/* A machine whose cards have not received anything yet. */
static void power_on(void (*event)(int32_t), int cards)
{
	uint32_t state = 1, handler;

	if (!ram) {
		ram = must_alloc((size_t)RAM_END << 12);
		owners = must_alloc(RAM_END * sizeof(*owners));
		written = must_alloc(RAM_END);
		contexts = must_alloc(65536 * sizeof(*contexts));
		devices = must_alloc(10000 * sizeof(*devices));
	}
	memset(frame(FIRST_FREE), 0, (size_t)(next_frame > FIRST_FREE ? next_frame - FIRST_FREE : 0) << 12);
	memset(contexts, 0, 65536 * sizeof(*contexts));
	memset(iotlb, 0, sizeof(iotlb));
	free(inner.words);
	inner_size(FEW);
	next_frame = FIRST_FREE;
	root_pfn = take_frame();
	for (uint32_t bus = 0; bus <= (DEVICES - 1) >> 8; bus++)
		take_frame();
	queue_reset();
	set_paces();
	strays = bucket = bucket_end = 0;
	last.stands = last.fine = -1;
	last.times = last.bytes = 0;
	handler = on_event(event);
	for (uint32_t i = 0; i < DEVICES; i++) {
		struct device *device = &devices[i];
		int32_t *history = device->meter.history;

		memset(device, 0, sizeof(*device));
		device->fn = (int32_t)i;
		device->sid = i;
		device->pace = (uint32_t)pace[i];
		device->stream = mix32(1, i, 0x6e6963) | 1;
		device->event = handler;
		device->meter = (struct meter){ .last_done = -1, .busy_since = -1, .guest = 1, .history = history };
		state = next_random(state);
		after((state >> 8) % device->pace, handler, (int32_t)i);
		map_device(device);
		if (!cards)
			continue;
		device->ring = RING_IOVA;
		device->length = RING_ENTRIES * 16;
		device->tail = RING_ENTRIES - 1;
		device->enabled = 1;
		tell_work(device);
	}
}

/* Over everything in the machine's memory, and what was delivered. */
static uint32_t memory_sum(void)
{
	uint32_t sum = (uint32_t)strays, *words = (uint32_t *)frame(FIRST_FREE);
	size_t count = (size_t)(next_frame - FIRST_FREE) << 10;

	for (uint32_t i = 0; i < DEVICES; i++)
		sum = mix(mix(sum, devices[i].delivered), (uint32_t)devices[i].meter.longest_gap);
	for (size_t i = 0; i < count; i++)
		sum = mix(sum, words[i]);
	return sum;
}

static uint32_t run(void (*event)(int32_t), int cards, uint32_t events)
{
	power_on(event, cards);
	for (uint32_t i = 0; i < FIRST_EVENTS * DEVICES; i++)
		step();
	start();
	for (uint32_t i = 0; i < events; i++)
		step();
	stop();
	return memory_sum();
}

static uint32_t dma_packets(void)
{
	return run(arrive, 1, EVENTS / 2);
}

static uint32_t dma_writes(void)
{
	return run(burst, 0, EVENTS / 4);
}

int main(int argc, char **argv)
{
	static const struct benchmark all[] = {
		{ "queue-heap", queue_heap },
		{ "dma-packets", dma_packets },
		{ "dma-writes", dma_writes },
	};

	if (argc > 1)
		bench_divisor = (uint32_t)atoi(argv[1]);
	return serve(all, sizeof(all) / sizeof(*all));
}
