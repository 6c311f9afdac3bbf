/* A Modbus TCP client as thin as C allows, for benchmarks: what a poll must cost at least.
 *
 *   modbus_client PORT REGISTERS QUANTITY
 *
 * Reads the holding registers 0.. of the server at 127.0.0.1:PORT over one connection, QUANTITY a request. For each line
 * "DEPTH SCANS" on standard input it polls them all SCANS times with at most DEPTH requests open, and prints the
 * microseconds of its own CPU time per request. Every answer is checked (id, protocol, length, unit, function, byte
 * count) and its registers are turned into the byte order of the machine. Blocking reads; what may be sent is sent in one
 * write, once no answer is left that came already and half of what may be open is free.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST = 12, HEAD = 9, MOST_REGISTERS = 65536, BUFFER = 1 << 16 };

static uint16_t image[MOST_REGISTERS];
static uint8_t in[BUFFER];
static int begin, end; /* what of `in` is not taken yet */

static void fail(const char *what) {
    fprintf(stderr, "modbus_client: %s\n", what);
    exit(1);
}

static double cpu_us(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static void need(int fd, int size) {
    if (end - begin >= size)
        return;
    memmove(in, in + begin, end - begin);
    end -= begin;
    begin = 0;
    while (end < size) {
        int got = read(fd, in + end, BUFFER - end);
        if (got <= 0)
            fail("the server closed the connection");
        end += got;
    }
}

static void ask(uint8_t *out, uint16_t id, int first, int quantity) {
    uint8_t request[REQUEST] = {id >> 8, id, 0, 0, 0, 6, 1, 3, first >> 8, first, quantity >> 8, quantity};
    memcpy(out, request, REQUEST);
}

static void take(int fd, uint16_t id, int first, int quantity) {
    int size = 2 * quantity;
    need(fd, HEAD + size);
    const uint8_t *frame = in + begin;
    uint8_t head[HEAD] = {id >> 8, id, 0, 0, (size + 3) >> 8, size + 3, 1, 3, size};
    if (memcmp(frame, head, HEAD) != 0)
        fail("an answer is not that of its request");
    for (int i = 0; i < quantity; i++)
        image[first + i] = frame[HEAD + 2 * i] << 8 | frame[HEAD + 2 * i + 1];
    begin += HEAD + size;
}

static uint16_t scan(int fd, uint16_t id, int registers, int quantity, int depth) {
    static uint8_t out[REQUEST * 64];
    int requests = registers / quantity, sent = 0;
    for (int taken = 0; taken < requests; taken++) {
        int filled = 0;
        /* A write costs more than all else of a request, so there are as few as can be. */
        if (end - begin < HEAD + 2 * quantity && sent - taken <= depth / 2)
            for (; sent < requests && sent < taken + depth; sent++, filled += REQUEST)
                ask(out + filled, id + sent, sent * quantity, quantity);
        if (filled > 0 && write(fd, out, filled) != filled)
            fail("cannot write");
        take(fd, id + taken, taken * quantity, quantity);
    }
    return id + requests;
}

int main(int argc, char **argv) {
    int registers = argc == 4 ? atoi(argv[2]) : 0, quantity = argc == 4 ? atoi(argv[3]) : 0;
    if (quantity < 1 || quantity > 125 || registers > MOST_REGISTERS || registers % quantity != 0) {
        fprintf(stderr, "usage: modbus_client PORT REGISTERS QUANTITY\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0), depth, scans;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    uint16_t id = 0;
    while (scanf("%d %d", &depth, &scans) == 2 && depth >= 1 && depth <= 64 && scans >= 1) {
        double before = cpu_us();
        for (int i = 0; i < scans; i++)
            id = scan(fd, id, registers, quantity, depth);
        printf("%.6f\n", (cpu_us() - before) / scans / (registers / quantity));
        fflush(stdout);
    }
    return 0;
}
