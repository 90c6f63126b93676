# Sourced by the init of initramfs-tools, whose word for it is boot=xenup: there is no root to mount, the installer runs.
mount_top() { :; }
mount_premount() { :; }
mount_bottom() { :; }

# Mounts the medium that this initramfs belongs to: the one with the file of its id.
xenup_medium() {
    id=$(cat /etc/xenup-medium/id)
    tries=0
    while [ "$tries" -lt 60 ]; do
        for device in /sys/class/block/*; do
            device=/dev/${device##*/}
            mount -t iso9660 -o ro "$device" /medium 2> /dev/null || continue
            [ ! -e "/medium/xenup/$id" ] || return 0
            umount /medium
        done
        tries=$((tries + 1))
        udevadm settle --timeout=5
        sleep 1
    done
    return 1
}

# A disk whose file system is called XENUPCONF has the answers.
xenup_answers() {
    device=/dev/disk/by-label/XENUPCONF
    [ -e "$device" ] || return 0
    for type in vfat ext4 iso9660; do
        ! mount -t "$type" -o ro "$device" /answers 2> /dev/null || return 0
    done
}

mountroot() {
    for module in isofs sr_mod vfat nls_ascii nls_cp437 ext4; do
        modprobe -q "$module" 2> /dev/null
    done
    mkdir -p /medium /answers /run/xenup
    export TERM=linux HOME=/ PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run
    xenup_medium || panic 'xenup: the medium that this was started from is not found'
    xenup_answers
    # The installer restarts the machine itself; it ends where somebody asks for a shell.
    while :; do
        xenup install --medium /medium --consoles < /dev/console > /dev/console 2>&1
        echo 'This is a shell of the installer; exit begins it again.'
        sh < /dev/console > /dev/console 2>&1
    done
}
