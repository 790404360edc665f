#!/bin/sh
# For the ZFS Event Daemon: link or copy it into /etc/zfs/zed.d/ under this name; ZED starts it when a disk of a pool
# changes its state. It gets what it needs in ZEVENT_* variables; see zed(8). NOROSHI_CONFIG names another node file.
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/opt/noroshi/bin
node=$(uname -n)
config=${NOROSHI_CONFIG:-/etc/noroshi/node.yaml}
if [ -r "$config" ]; then
  while read -r key value _; do
    [ "$key" != node: ] || { node=${value#[\"\']} && node=${node%[\"\']}; }
  done <"$config"
fi

[ -n "$ZEVENT_POOL" ] && [ -n "$ZEVENT_VDEV_STATE_STR" ] || exit 3
said=
[ "$ZEVENT_VDEV_STATE_STR" = ONLINE ] || said="${ZEVENT_VDEV_PATH:-a disk} is $ZEVENT_VDEV_STATE_STR"

# the disk's state is known; what that makes of the pool, the kernel says
case $(cat "${NOROSHI_PROC:-/proc}/spl/kstat/zfs/$ZEVENT_POOL/state" 2>/dev/null) in
  ONLINE) if [ -z "$said" ]; then state=OK; else state=WARNING; fi ;;
  DEGRADED) state=DEGRADED ;;
  "") if [ -z "$said" ]; then state=OK; else state=DEGRADED; fi ;;
  *) state=ERROR ;;
esac
exec noroshi raise "pool/$node/$ZEVENT_POOL" "$state" "$said"
