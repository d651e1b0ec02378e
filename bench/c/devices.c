/* Ten thousand devices: their event queue. See ours/devices.ts. */
#include "bench.h"

#define DEVICES (10000 / bench_divisor)
#define EVENTS (2000000 / bench_divisor)

/* The queue: a binary heap, whose top place stays vacant while an event's handler runs. */
struct event {
	double time, order;
	uint32_t handler;
	int32_t argument;
};

static struct event *heap;
static uint32_t heap_size, heap_room;
static int vacant;
static double now, sequence;
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
	struct event e = { now + delay, sequence++, handler, argument };

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
	now = top.time;
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

int main(int argc, char **argv)
{
	static const struct benchmark all[] = {
		{ "queue-heap", queue_heap },
	};

	if (argc > 1)
		bench_divisor = atoi(argv[1]);
	return serve(all, sizeof(all) / sizeof(*all));
}
