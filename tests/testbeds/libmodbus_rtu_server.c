/* One Modbus RTU unit on libmodbus, for tests.
 *
 *   libmodbus_rtu_server TTY BAUDRATE PARITY UNIT NREGS      PARITY is N, E or O; 8 data bits, 1 stop bit
 *
 * Prints "ready" once it listens, and ends when its standard input closes, so that it never outlives its parent.
 *   holding register 0   counts requests of every kind since the start
 *   holding register a   1000 * UNIT + a, for a from 1
 *   input register a     65535 - a
 *   coil a               1 where a is divisible by 3
 *   discrete input a     1 where a is odd
 */
#include <errno.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int count = argc == 6 ? atoi(argv[5]) : 0, unit = argc == 6 ? atoi(argv[4]) : 0;
    if (count < 1 || count > 65536 || unit < 1) {
        fprintf(stderr, "usage: libmodbus_rtu_server TTY BAUDRATE PARITY UNIT NREGS\n");
        return 2;
    }
    modbus_t *context = modbus_new_rtu(argv[1], atoi(argv[2]), argv[3][0], 8, 1);
    modbus_mapping_t *map = modbus_mapping_new(count, count, count, count);
    if (context == NULL || map == NULL || modbus_set_slave(context, unit) != 0 || modbus_connect(context) != 0) {
        fprintf(stderr, "libmodbus_rtu_server: %s\n", modbus_strerror(errno));
        return 1;
    }
    for (int a = 0; a < count; a++) {
        map->tab_registers[a] = a == 0 ? 0 : 1000 * unit + a;
        map->tab_input_registers[a] = 65535 - a;
        map->tab_bits[a] = a % 3 == 0;
        map->tab_input_bits[a] = a % 2;
    }
    int fd = modbus_get_socket(context);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(STDIN_FILENO, &readable);
        FD_SET(fd, &readable);
        if (select((fd > STDIN_FILENO ? fd : STDIN_FILENO) + 1, &readable, NULL, NULL, NULL) < 0)
            return 1;
        if (FD_ISSET(STDIN_FILENO, &readable)) {
            char byte;
            if (read(STDIN_FILENO, &byte, 1) <= 0)
                return 0;
        }
        if (FD_ISSET(fd, &readable)) {
            uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
            int length = modbus_receive(context, query);
            if (length > 0) {
                map->tab_registers[0]++;
                modbus_reply(context, query, length, map);
            }
        }
    }
}
