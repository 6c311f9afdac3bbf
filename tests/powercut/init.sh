#!/bin/sh
# The only process of the virtual machine: what the kernel's command line asks for, its words on the second serial port.
mount -t proc proc /proc
mount -t sysfs sys /sys 2>/dev/null
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
export PYTHONPATH=/opt/forebay/agent:/opt/forebay/tests:/opt/forebay/packages PYTHONDONTWRITEBYTECODE=1
stty -F /dev/ttyS1 raw -echo
mode=$(sed -n 's/.*forebay=\([a-z]*\).*/\1/p' /proc/cmdline)
first=$(sed -n 's/.*first=\([0-9]*\).*/\1/p' /proc/cmdline)
case $mode in
write)
  # The control, never flushed by anybody: what of it was written last must be gone after the cut.
  rm -f /var/lib/unflushed
  while :; do echo line; echo unflushed >/dev/ttyS0; sleep 0.05; done >/var/lib/unflushed &
  python3 -m support.journal_writer /var/lib/journal "$first" >/dev/ttyS1 2>/dev/ttyS0
  ;;
read)
  wc -l </var/lib/unflushed >/dev/ttyS1 || echo 0 >/dev/ttyS1
  python3 -m support.journal_check /var/lib/journal >/dev/ttyS1 2>/dev/ttyS0
  ;;
esac
echo "$mode ended with $?" >/dev/ttyS0
sync
echo o >/proc/sysrq-trigger
sleep 60
