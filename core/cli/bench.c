#include "core/cli/bench.h"

#include <stdio.h>
#include <stdlib.h>

static const char usage[] = "usage: noctule bench SCENARIO [--url URL | --host HOST --port PORT] [OPTIONS]\n";

static const char help[] =
    "\n"
    "Puts load on a broker, counts every message, and says what it measured.\n"
    "\n"
    "  connect        --clients connections, which are then held for --hold seconds\n"
    "  pairs          --clients publishers, each with a subscriber of its own\n"
    "  fan-in         --clients publishers to --subscribers subscribers of everything\n"
    "  fan-out        --publishers publishers to --clients subscribers\n"
    "  latency        pairs at a fixed --rate\n"
    "  subscriptions  --subscriptions filters of --clients subscribers, and messages to them\n"
    "  retained       stores --count retained messages, and has --clients subscribers fetch them\n"
    "\n"
    "The broker:\n"
    "  --url URL               mqtt://, mqtts://, ws:// or wss://HOST:PORT, or unix:PATH\n"
    "  --host HOST, --port PORT  127.0.0.1, 1883\n"
    "  -V, --mqtt 3.1|3.1.1|5  3.1.1\n"
    "  --username, --password, --client-id-prefix TEXT  %i in them is the client's number\n"
    "  --cafile, --cert, --key FILE  for TLS; they make mqtts of a --host\n"
    "  --insecure              do not verify the broker's certificate\n"
    "  --tls-version 1.2|1.3, --resume  of TLS; resume one session with every connection\n"
    "\n"
    "The load (numbers may end with k or M):\n"
    "  --clients N, --publishers N, --subscribers N, --subscriptions N, --topics N\n"
    "  --payload BYTES, --qos 0|1|2, --rate MESSAGES, --duration S, --warmup S, --count N\n"
    "  --batch N, --window N, --inflight N, --plus SHARE, --hash SHARE, --topic PREFIX\n"
    "  --ramp CONNECTIONS, --concurrency N, --hold S, --keep-alive S, --keep, --spin\n"
    "  --timeout S, --drain S, --allow-loss\n"
    "\n"
    "The result:\n"
    "  --pid PID               a process of the broker on this machine: its CPU time and memory\n"
    "  --json                  one line of JSON\n"
    "  --quiet                 no progress line\n"
    "  -h, --help              this text\n"
    "\n"
    "noctule-bench(1) tells all. Exit code 0, 1: something on this side, 2: usage, 3: not reached or\n"
    "refused, 4: no answer, 5: messages lost, doubled or out of order, 130: interrupted.\n";

int cli_bench(int argc, char **argv)
{
    struct bench_options options;
    char *problem = NULL;
    int code = BENCH_USAGE;
    switch (bench_options_read(argc, argv, &options, &problem)) {
    case BENCH_PARSED:
        if (bench_target_resolve(&options.target, &problem)) {
            code = bench_run(&options);
        } else {
            fprintf(stderr, "noctule bench: %s\n", problem);
            code = BENCH_REFUSED;
        }
        break;
    case BENCH_WANTS_HELP:
        printf("%s%s", usage, help);
        code = BENCH_DONE;
        break;
    case BENCH_WRONG:
        fprintf(stderr, "noctule bench: %s\n%s", problem, usage);
        break;
    }
    free(problem);
    bench_target_clear(&options.target);
    return code;
}
