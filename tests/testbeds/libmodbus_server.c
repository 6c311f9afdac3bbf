/* A Modbus TCP server on libmodbus, for tests and benchmarks.
 *
 *   libmodbus_server PORT NREGS [walk] [longest=N] [hole=FIRST-LAST]...
 *                                           listens on 127.0.0.1; port 0 takes a free one
 *
 * Prints "ready PORT" once it listens, and ends when its standard input closes, so that it never outlives its parent.
 *   holding register 0   counts requests of every kind since the start
 *   holding register a   a, for a from 1
 *   input register a     65535 - a
 *   coil a               1 where a is divisible by 3
 *   discrete input a     1 where a is odd
 * With "walk" the holding registers are float32 process values instead, ABCD, two registers each: every one of them takes a random
 * step, rounded to 0.01, each time register 0 is asked for, so that no scan repeats the last.
 * A read that touches a hole (addresses of every area, both ends included) is refused with exception 2, and one of more than N
 * places with exception 3.
 * Units are not told apart (libmodbus answers for any over TCP); pipelined requests are answered in order.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0) {
        perror("libmodbus_server");
        exit(1);
    }
    return fd;
}

#define MOST_HOLES 64
static struct { int first, last; } holes[MOST_HOLES];
static int hole_count = 0, longest = 65536;

/* Gives the exception for a request that libmodbus would answer, 0 for none. */
static int refusal(const uint8_t *query) {
    int first = query[8] << 8 | query[9], count = query[10] << 8 | query[11];
    if (query[7] < 1 || query[7] > 4)
        return 0;
    for (int i = 0; i < hole_count; i++)
        if (first <= holes[i].last && first + count > holes[i].first)
            return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
    return count > longest ? MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE : 0;
}

static void step(uint16_t *registers, int count) {
    static uint32_t random = 1;
    static int16_t value[32768]; /* in hundredths */
    for (int i = 0; 2 * i + 1 < count; i++) {
        random = random * 1664525u + 1013904223u;
        value[i] += (int16_t)(random >> 24) % 11 - 5;
        union { float number; uint32_t bits; } at = {.number = (2000 + value[i]) / 100.0f};
        registers[2 * i] = at.bits >> 16;
        registers[2 * i + 1] = at.bits & 0xffff;
    }
}

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[2]) : 0;
    int walk = 0, known = argc > 2;
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "walk") == 0)
            walk = 1;
        else if (sscanf(argv[i], "longest=%d", &longest) == 1)
            continue;
        else if (hole_count < MOST_HOLES && sscanf(argv[i], "hole=%d-%d", &holes[hole_count].first, &holes[hole_count].last) == 2)
            hole_count++;
        else
            known = 0;
    }
    if (!known || count < 1 || count > 65536) {
        fprintf(stderr, "usage: libmodbus_server PORT NREGS [walk] [longest=N] [hole=FIRST-LAST]...\n");
        return 2;
    }
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *map = modbus_mapping_new(count, count, count, count);
    if (context == NULL || map == NULL) {
        fprintf(stderr, "libmodbus_server: %s\n", modbus_strerror(errno));
        return 1;
    }
    for (int a = 0; a < count; a++) {
        map->tab_registers[a] = a;
        map->tab_input_registers[a] = 65535 - a;
        map->tab_bits[a] = a % 3 == 0;
        map->tab_input_bits[a] = a % 2;
    }
    int server = listen_on(atoi(argv[1])), highest = server;
    struct sockaddr_in bound;
    socklen_t size = sizeof bound;
    getsockname(server, (struct sockaddr *)&bound, &size);
    printf("ready %d\n", ntohs(bound.sin_port));
    fflush(stdout);

    fd_set watched;
    FD_ZERO(&watched);
    FD_SET(STDIN_FILENO, &watched);
    FD_SET(server, &watched);
    for (;;) {
        fd_set readable = watched;
        if (select(highest + 1, &readable, NULL, NULL, NULL) < 0)
            return 1;
        for (int fd = 0; fd <= highest; fd++) {
            uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
            if (!FD_ISSET(fd, &readable))
                continue;
            if (fd == STDIN_FILENO) {
                if (read(fd, query, sizeof query) <= 0)
                    return 0;
            } else if (fd == server) {
                int yes = 1, client = accept(server, NULL, NULL);
                if (client < 0)
                    continue;
                if (client >= FD_SETSIZE) {
                    close(client);
                    continue;
                }
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                FD_SET(client, &watched);
                highest = client > highest ? client : highest;
            } else {
                modbus_set_socket(context, fd);
                int length = modbus_receive(context, query);
                if (length > 0) {
                    if (!walk)
                        map->tab_registers[0]++;
                    else if (query[7] == 3 && query[8] == 0 && query[9] == 0)
                        step(map->tab_registers, count);
                    int exception = refusal(query);
                    if (exception)
                        modbus_reply_exception(context, query, exception);
                    else
                        modbus_reply(context, query, length, map);
                } else if (length < 0) {
                    close(fd);
                    FD_CLR(fd, &watched);
                }
            }
        }
    }
}
