set -u
export LC_ALL=C.UTF-8
state=/var/lib/xenup-image
made=$state/made

say() { printf '%s\n' "$*"; }
# What was made is told by the report too, which comes when the console is quiet again.
make() { say "$@"; printf '%s\n' "$*" >> "$made"; }

# Gives the last partition, the root, all of the disk; with volumes=yes the root stays, and what lies behind it becomes
# a volume group. sfdisk changes the one partition, and moves the table's second copy to the end of the disk.
room() {
    # Without a btrfs' subvolume behind the device.
    root=$(findmnt -n -v -o SOURCE /) || return 1
    part=${root#/dev/}
    [ -e "/sys/class/block/$part/partition" ] || { make "the root $root is no partition, and stays as it is"; return 0; }
    number=$(cat "/sys/class/block/$part/partition")
    disk=$(basename "$(dirname "$(readlink -f "/sys/class/block/$part")")")
    end=$(($(cat "/sys/class/block/$part/start") + $(cat "/sys/class/block/$part/size")))
    behind=$(($(cat "/sys/class/block/$disk/size") - end))
    next=$((number + 1))
    guests=$(echo "$root" | sed "s|$number\$|$next|")
    if [ -e "$guests" ]; then
        make "there is a partition behind the root, and both stay as they are"
        return 0
    fi
    # Less than 64 MiB are not worth a change; the table's second copy itself is there.
    if [ "$behind" -lt 131072 ]; then
        make "the disk ends with the root: $((behind / 2048)) MiB lie behind it"
        return 0
    fi
    if [ "$volumes" = yes ]; then
        echo 'type=E6D6D379-F507-44C2-A23C-238F2A3DF928, name="guests"' |
            sfdisk --quiet --force --no-reread --no-tell-kernel --append "/dev/$disk" || return 1
        partx --add --nr "$next" "/dev/$disk" || return 1
        udevadm settle || return 1
        pvcreate --quiet --yes "$guests" || return 1
        vgcreate --quiet guests "$guests" || return 1
        make "the volume group guests: $(vgs --noheadings --options vg_size guests | tr -d ' ')"
    else
        echo ', +' | sfdisk --quiet --force --no-reread --no-tell-kernel -N "$number" "/dev/$disk" || return 1
        partx --update --nr "$number" "/dev/$disk" || return 1
        case $(findmnt -n -o FSTYPE /) in
            btrfs) btrfs filesystem resize max / ;;
            *) resize2fs "$root" ;;
        esac > /dev/null 2>&1 || return 1
        make "the root has all of $disk: $(findmnt -n -o SIZE / | tr -d ' ')"
    fi
}

keys() {
    if ! ls /etc/ssh/ssh_host_*_key > /dev/null 2>&1; then
        ssh-keygen -A > /dev/null || return 1
        make "SSH host keys: $(ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2)"
    fi
}

finish() {
    mkdir -p "$state"
    whole=yes
    room || { make 'FAILED: the disk behind the root could not be taken'; whole=no; }
    keys || { make 'FAILED: the SSH host keys could not be made'; whole=no; }
    [ "$whole" = no ] || touch "$state/finished"
    sync
}

# holds WORDS COMMAND...: the command's words, and whether it held.
holds() {
    words=$1
    shift
    all=$((all + 1))
    if said=$("$@" 2>&1); then
        say "  holds   $words${said:+: $said}"
    else
        failed=$((failed + 1))
        say "  FAILED  $words${said:+: $said}"
    fi
}

dom0() { grep -q control_d /proc/xen/capabilities || { echo 'this boot runs Linux without Xen'; return 1; }; }
toolstack() { xl info | awk -F ' *: *' '/^(xen_version|total_memory|free_memory) /{ printf "%s%s %s", s, $1, $2; s = ", " } END { exit !NR }'; }
bridged() { [ -e "/sys/class/net/$1/brif/$2" ] || { echo "there is no bridge $1 with the port $2"; return 1; }; }
addressed() {
    have=$(ip -o addr show dev "$1" scope global | awk '{ printf "%s%s", s, $4; s = " " }')
    [ -n "$have" ] || { echo 'none'; return 1; }
    echo "$have"
}
identity() { [ "$(wc -c < /etc/machine-id)" = 33 ] || { echo 'it is not drawn'; return 1; }; }
ssh_runs() { systemctl is-active --quiet ssh.service || systemctl is-active --quiet ssh.socket; }
finished() { [ -e "$state/finished" ]; }
# 5: the plan has steps, which is no fault of the image's: a bridge behind dom0, say.
planned() {
    xenup plan --check > /dev/null 2>&1
    case $? in
        0) echo 'nothing is left to do' ;;
        5) echo 'something is left to do: xenup plan shows it, xenup apply does it' ;;
        *) echo 'it ends with an error: xenup plan shows it'; return 1 ;;
    esac
}

report() {
    all=0
    failed=0
    say "the first boot of $(hostname)"
    [ ! -e "$made" ] || while read -r line; do say "  made    $line"; done < "$made"
    holds 'what the first boot makes is made' finished
    holds "the machine's id" identity
    holds 'Linux is dom0' dom0
    holds 'xl info' toolstack
    for one in $bridges; do
        name=${one%%/*}
        port=${one#*/}
        port=${port%/*}
        holds "$name over $port" bridged "$name" "$port"
        [ "${one##*/}" = none ] || holds "the address of $name" addressed "$name"
    done
    holds 'ssh runs' ssh_runs
    [ ! -x /usr/sbin/xenup ] || holds 'xenup plan' planned
    if [ "$failed" = 0 ]; then
        touch "$state/reported"
        say "$(hostname) is a Xen host: all of $all hold"
    else
        say "$failed of $all do not hold; they are looked at again at the next boot"
    fi
}

case ${1-} in
    finish) finish ;;
    report) report ;;
    *) echo 'usage: first-boot finish|report' >&2; exit 2 ;;
esac
