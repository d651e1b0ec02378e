/*
 * Runs programs and says what they took: reads a command a line, its words apart by tabs, and answers
 * "WALL_NANOSECONDS CPU_NANOSECONDS PEAK_KIB STATUS". A program's output goes nowhere. CPU time and
 * peak memory are those of the program and all it started and waited for.
 */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORDS 64

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t ns_of(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

static void become(char **words)
{
	int nowhere = open("/dev/null", O_RDWR);

	dup2(nowhere, 0);
	dup2(nowhere, 1);
	dup2(nowhere, 2);
	execvp(words[0], words);
	_exit(127);
}

int main(void)
{
	static char line[1 << 16];

	while (fgets(line, sizeof(line), stdin)) {
		char *words[MAX_WORDS + 1] = { 0 };
		struct rusage usage = { 0 };
		int status = -1, count = 0;

		for (char *word = strtok(line, "\t\n"); word && count < MAX_WORDS;
		     word = strtok(NULL, "\t\n"))
			words[count++] = word;
		if (!count)
			continue;
		uint64_t began = now();
		pid_t child = fork();

		if (child == 0)
			become(words);
		if (child < 0 || wait4(child, &status, 0, &usage) < 0)
			return 1;
		printf("%llu %llu %ld %d\n", (unsigned long long)(now() - began),
		       (unsigned long long)(ns_of(usage.ru_utime) + ns_of(usage.ru_stime)),
		       usage.ru_maxrss, WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		fflush(stdout);
	}
	return 0;
}
