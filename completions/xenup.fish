# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_xenup_global_optspecs
    string join \n color= q/quiet h/help V/version
end

function __fish_xenup_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_xenup_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_xenup_using_subcommand
    set -l cmd (__fish_xenup_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c xenup -n "__fish_xenup_needs_command" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_needs_command" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_needs_command" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_needs_command" -s V -l version -d 'Print version'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "inspect" -d 'Say what this machine is, and what stands in Xen\'s way on it'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "init" -d 'Write /etc/xenup/host.toml from what was found; nothing else changes'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "plan" -d 'Show every file, package and command a change would bring'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "apply" -d 'Carry the plan out'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "confirm" -d 'Keep what was applied, or undone; without this it goes back'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "rollback" -d 'Undo a run'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "status" -d 'Say what happened, what is pending, and what to type'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "history" -d 'List the runs'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "guest" -d 'List guest files, judge them, write them in today\'s form'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "image" -d 'Build a disk that boots as a Xen host'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "install" -d 'Install a Xen host onto a disk of this machine, from a medium of `image build`'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "audit" -d 'Say of each guest whether it starts on a Xen, and if not, why and what to change'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "upgrade" -d 'Say what stands between this host and the next release of Debian, and upgrade to it'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "rehearse" -d 'Try the whole conversion on a throw-away virtual machine'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "kernel" -d 'Say what kernels can be under Xen; configure one for a role, with every reason'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "tls" -d 'Say what keeps /lib/tls out of the way of a 32-bit system under PV Xen, or would'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "network" -d 'Draw the network, read an old Xen host\'s'
complete -c xenup -n "__fish_xenup_needs_command" -f -a "guard" -d 'Put the same deadline and undo around any change of the network made by hand'
complete -c xenup -n "__fish_xenup_using_subcommand inspect" -l root -d 'Read the machine whose root is mounted at DIR instead of the running one' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand inspect" -l facts -d 'Take the facts from FILE, written by `xenup inspect --json` on any machine' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand inspect" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand inspect" -l json -d 'Print JSON (schema: facts.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand inspect" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand init" -l root -d 'Read the machine whose root is mounted at DIR instead of the running one' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand init" -l facts -d 'Take the facts from FILE, written by `xenup inspect --json` on any machine' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand init" -l to -d 'Write to FILE' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand init" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand init" -l print -d 'Print the file instead of writing it'
complete -c xenup -n "__fish_xenup_using_subcommand init" -l force -d 'Replace a host.toml that is already there'
complete -c xenup -n "__fish_xenup_using_subcommand init" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand init" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l root -d 'Read the machine whose root is mounted at DIR instead of the running one' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l facts -d 'Take the facts from FILE, written by `xenup inspect --json` on any machine' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l host -d 'Read what is wanted from FILE' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l out -d 'Write the plan to FILE, for `xenup apply FILE`' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l apt -d 'Take what apt would do from FILE, the output of `apt-get -s install`' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l check -d 'Print nothing; exit 5 when there is something to do'
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l explain -d 'Say of each step why it is there and how it is undone'
complete -c xenup -n "__fish_xenup_using_subcommand plan" -l json -d 'Print JSON (schema: plan.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand plan" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand plan" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand apply" -l host -d 'Read what is wanted from FILE' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand apply" -l deadline -d 'Seconds to wait for the confirmation of the network, instead of the plan\'s own (180)' -r
complete -c xenup -n "__fish_xenup_using_subcommand apply" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand apply" -l installer -d 'Do what lasts on disk, and make Xen the default: in a system that an installer has made and that does not run yet'
complete -c xenup -n "__fish_xenup_using_subcommand apply" -s y -l yes -d 'Do not ask'
complete -c xenup -n "__fish_xenup_using_subcommand apply" -l wait -d 'Wait for the confirmation instead of ending with exit code 6'
complete -c xenup -n "__fish_xenup_using_subcommand apply" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand apply" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand confirm" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand confirm" -l console -d 'Confirm from this machine\'s own console instead of over a new connection'
complete -c xenup -n "__fish_xenup_using_subcommand confirm" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand confirm" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand rollback" -l deadline -d 'Seconds to wait for the confirmation that the way in works without the bridge' -r
complete -c xenup -n "__fish_xenup_using_subcommand rollback" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand rollback" -s y -l yes -d 'Do not ask'
complete -c xenup -n "__fish_xenup_using_subcommand rollback" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand status" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand status" -l json -d 'Print JSON (schema: status.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand status" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand status" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand history" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand history" -l json -d 'Print JSON (schema: history.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand history" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand history" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -f -a "list" -d 'List the guests that have a file below /etc/xen'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -f -a "check" -d 'Say what keeps each guest from starting, or will'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -f -a "convert" -d 'Show an xm or xl file in today\'s form, as a diff; with --in-place or --out, write it'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -f -a "create" -d 'Make a Debian guest: its disk and its file, in about a second once a base of its release is kept'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -f -a "resize" -d 'Make the disk of a guest that `guest create` made larger, with its file system; the guest is off meanwhile'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -f -a "delete" -d 'Remove what `guest create` made for a guest: its file, its link in /etc/xen/auto, its disk'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and not __fish_seen_subcommand_from list check convert create resize delete disk" -f -a "disk" -d 'Say what is on a guest\'s disk: system, kernel that would boot, what depends on names; nothing is mounted'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from list" -l root -d 'Read the machine whose root is mounted at DIR instead of the running one' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from list" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from list" -l json -d 'Print JSON (schema: guest-list.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from check" -l root -d 'Look for bridges, disks and kernels on the machine whose root is mounted at DIR' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from check" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from check" -l json -d 'Print JSON (schema: guest-check.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from convert" -l out -d 'Write it to OUT, which must not be there yet; `-` is standard output' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from convert" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from convert" -l in-place -d 'Write it in its place, as a run that `xenup rollback` undoes'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from convert" -s y -l yes -d 'Do not ask'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from convert" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from convert" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l suite -d 'What it runs: 12 or bookworm, 13 or trixie, sid' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l type -d 'How it is virtualised: pvh, by hardware and without an emulated machine, or pv, for machines without that hardware' -r -f -a "pvh\t'By hardware, without an emulated machine'
pv\t'Paravirtual, for machines without hardware virtualisation'"
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l size -d 'The disk\'s size: a number and M, G or T; the file takes only what is written to it' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l swap -d 'A swap file of this size on its disk: a number and M or G; none without it' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l memory -d 'The guest\'s memory: a number and M or G' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l vcpus -d 'Its virtual processors' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l dir -d 'Where its disk\'s file goes' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l volume -d 'Its disk is a logical volume, NAME-disk, of this volume group; of a thin pool a snapshot of the base' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l bridge -d 'The bridge; without it host.toml\'s first, else the machine\'s only one' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l address -d 'Its address with the prefix\'s length, or dhcp, which is the default; may be given for IPv4 and for IPv6' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l gateway -d 'The router of a static address; may be given for IPv4 and for IPv6' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l dns -d 'A name server, beside a static address; may be given several times' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l network -d 'Who sets its network up: ifupdown, networkd with systemd-resolved, or netplan on these two' -r -f -a "ifupdown\t'ifupdown: /etc/network/interfaces'
networkd\t'systemd-networkd, with systemd-resolved'
netplan\t'netplan, on systemd-networkd with systemd-resolved'"
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l ssh-key -d 'Public keys that may log in as root; may be given several times. Without it, those of this machine\'s root' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l package -d 'A Debian package to be in the base as well; each set of packages has a base of its own' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l kernel -d 'Boot a kernel of this host instead of the disk\'s own: a path, or the name or role of one that `kernel install` put in place, such as domU-minimal' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l ramdisk -d 'The ramdisk of that kernel; none without it' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l cloud-init -d 'User-data for cloud-init, which is then in the base: a cloud-config, a script or MIME' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l script -d 'A script that the guest runs once, at its first boot; may be given several times, and they run in that order' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l auto -d 'Start it with the host, by a link in /etc/xen/auto'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l rebuild -d 'Make the base anew, with today\'s packages'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -l dry-run -d 'Show everything that would be written, and write nothing'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from resize" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from resize" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from resize" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from delete" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from delete" -s y -l yes -d 'Do not ask'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from delete" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from disk" -l format -d 'The image\'s format, raw or qcow2; found out where it is not given' -r -f -a "raw\t''
qcow2\t''"
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from disk" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from disk" -l json -d 'Print JSON (schema: guest-disk.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from disk" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guest; and __fish_seen_subcommand_from disk" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand image; and not __fish_seen_subcommand_from build" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and not __fish_seen_subcommand_from build" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand image; and not __fish_seen_subcommand_from build" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand image; and not __fish_seen_subcommand_from build" -f -a "build" -d 'Build a disk that boots as a Xen host, or a medium that installs one; without root, and the same bytes for the same input, but for btrfs'
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l host -d 'Read what is wanted from FILE; its NICs are told apart by their mac' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l suite -d 'The release: 12 or bookworm, 13 or trixie, sid' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l format -d 'The file\'s format: raw, qcow2, raw.zst or iso; without it by the file\'s ending' -r -f -a "raw\t'The disk, byte for byte, sparse'
qcow2\t'QEMU\'s'
raw.zst\t'raw, compressed by zstd'
iso\t'An installer medium'"
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l size -d 'The disk\'s size: a number and M or G; the first boot gives the root what the machine\'s disk has beyond' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l filesystem -d 'The root\'s file system: ext4, or btrfs, which keeps /boot on an ext4 of its own and has other bytes with every build' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l name -d 'The machine\'s name' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l ssh-key -d 'Public keys that may log in as root; may be given several times' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l root-password-hash -d 'Root\'s password for the console, as the crypt(5) hash that is in FILE; none without it' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l address -d 'The address of the bridge that keeps one, with the prefix\'s length, or dhcp, which is the default' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l gateway -d 'The router of a static address; may be given for IPv4 and for IPv6' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l dns -d 'A name server, beside a static address; may be given several times' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l locale -d 'The language of its programs, such as de_DE.UTF-8; C.UTF-8 without it' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l timezone -d 'The time zone, such as Europe/Berlin; UTC without it' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l package -d 'xenup\'s own Debian package, to be in the image as well' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l answers -d 'What a medium is not to ask: answers.toml(5)' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l lvm -d 'Leave the root as large as the image, and make what the machine\'s disk has beyond the volume group `guests`'
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l force -d 'Replace a file that is there'
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l dry-run -d 'Show everything that would be in the image beside its packages, and write nothing'
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -l in-namespace -d 'Run in the namespaces that this program made for itself'
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand image; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand install" -l medium -d 'Where the medium is mounted that `xenup image build FILE.iso` has made' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand install" -l answers -d 'Take answers from FILE instead of the medium\'s own: answers.toml(5)' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand install" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand install" -l dry-run -d 'Say what would be done with every default, and do nothing'
complete -c xenup -n "__fish_xenup_using_subcommand install" -l consoles -d 'Ask on every console of the kernel, and switch the machine at the end (run by the medium)'
complete -c xenup -n "__fish_xenup_using_subcommand install" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand audit" -l to -d 'Judge by this release of Xen (4.20) or the one of a Debian suite (trixie) instead of the installed one' -r
complete -c xenup -n "__fish_xenup_using_subcommand audit" -l root -d 'Read the machine whose root is mounted at DIR instead of the running one' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand audit" -l html -d 'Write the report to FILE as one page for a browser, a telephone or paper' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand audit" -l out -d 'Where --fix writes the plan' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand audit" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand audit" -l fix -d 'Show the changes of guest files that are sure, and write them as a plan for `xenup apply`'
complete -c xenup -n "__fish_xenup_using_subcommand audit" -l json -d 'Print JSON (schema: audit.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand audit" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and not __fish_seen_subcommand_from check apply" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and not __fish_seen_subcommand_from check apply" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and not __fish_seen_subcommand_from check apply" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and not __fish_seen_subcommand_from check apply" -f -a "check" -d 'Say what an upgrade would do to Xen and its guests, and what to fix first; nothing is changed'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and not __fish_seen_subcommand_from check apply" -f -a "apply" -d 'Upgrade this host to the next release, with guests shut down in order and the new Xen booted once on trial'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from check" -l to -d 'The suite of Debian to upgrade to (trixie)' -r
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from check" -l root -d 'Read the machine whose root is mounted at DIR instead of the running one; apt is not asked' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from check" -l html -d 'Write the page to FILE for a browser, a telephone or paper' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from check" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from check" -l json -d 'Print JSON (schema: upgrade-check.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from apply" -l to -d 'The suite of Debian to upgrade to (trixie); the next release where none is named' -r
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from apply" -l host -d 'What this machine is to be' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from apply" -l out -d 'Write the plan to FILE for `xenup apply FILE`, and change nothing else' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from apply" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from apply" -l plan -d 'Print the plan, and change nothing'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from apply" -l yes -d 'Do not ask'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from apply" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand upgrade; and __fish_seen_subcommand_from apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l scenario -d 'Which scenario: plain, conversion, sabotage, guard, later, old-host, roles, kernels, dom0, upgrade, upgrade-by-apt or upgrade-cuts' -r -f -a "plain\t'A plain Debian boots, the package is installed, `inspect` runs'
conversion\t'The whole way to a Xen host with guests, and back'
sabotage\t'Things break on purpose: a cut link, power cuts, a hypervisor that dies'
guard\t'A bridge that nobody confirms is undone, whatever ends, hangs or loses its power meanwhile'
later\t'Xen and dom0\'s Linux are replaced; each later version is tried before it is kept'
old-host\t'The files of an old Xen host are imported, and a guest that asks for bridge=eth0 starts and answers'
roles\t'Kernels start as PV and as PVH guests, or do not, as `kernel check` says of them'
kernels\t'A whole Debian guest boots kernels of one\'s own, in turns with Debian\'s cloud kernel'
dom0\t'A kernel of one\'s own, by its package, is installed for dom0, tried and used; without one, the report says what the machine has, for `kernel build --facts`'
upgrade\t'A host with guests that work goes from Debian 12 to 13'
upgrade-by-apt\t'The same host by apt alone, for what is lost there'
upgrade-cuts\t'The same upgrade with the power cut in each of its stages, and a Xen that does not boot'"
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l nic -d 'The virtual machine\'s NIC: virtio, or e1000 or e1000e, emulated cards with drivers of their own' -r -f -a "virtio\t'virtio-net'
e1000\t'Intel\'s 82540EM'
e1000e\t'Intel\'s 82574L'"
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l owner -d 'Whose the network is in the scenario guard: ifupdown, dhcp (ifupdown with a dhclient), networkd, netplan or networkmanager' -r -f -a "ifupdown\t'A stanza of interfaces(5) with an address'
dhcp\t'A stanza of interfaces(5), and a dhclient'
networkd\t'systemd-networkd'
netplan\t'netplan, carried out by systemd-networkd'
networkmanager\t'NetworkManager'"
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l package -d 'The package to bring into the virtual machine' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l report -d 'Write report.txt, report.json and report.html into DIR' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l kernel -d 'A kernel that the scenario roles or kernels starts as a PV and as a PVH guest, or the package of one that the scenario dom0 installs; once for each' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l uefi -d 'Boot the virtual machine by UEFI instead of BIOS'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l dhcp -d 'Give the virtual machine its address by DHCP instead of a stanza'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l anew -d 'Make the disk anew instead of starting from what an earlier run kept'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l resume -d 'Go on from the Xen host that an earlier run of the same package and program came to, and keep this run\'s'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l busy -d 'Judge the switch of the NIC by a stall of a second instead of single packets: this machine does other work too'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l keep -d 'Leave the virtual machine running and say how to log in'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -l json -d 'Print the report as JSON'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand rehearse" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -f -a "check" -d 'Say of a kernel, or of all in a folder, whether it can be dom0, PV, PVH or HVM, and what stops it'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -f -a "config" -d 'Make a kernel\'s configuration for a role, by the source tree\'s own `make`'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -f -a "build" -d 'Build a kernel for a role from Debian\'s source: image and packages, as an ordinary user'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -f -a "install" -d 'Put a guest\'s kernel where guests find it, below /var/lib/xenup/kernels'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -f -a "roles" -d 'List the roles and the additions that `kernel config` knows'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -f -a "explain" -d 'Say what a symbol is, what it needs, what selects it, and why a role asks for it'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and not __fish_seen_subcommand_from check config build install roles explain diff" -f -a "diff" -d 'Compare two .config files: what each kernel can be, and which symbols of which role differ'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from check" -l xen -d 'Judge by this release of Xen instead of the one installed beside the kernel (else 4.20, Debian 13\'s)' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from check" -l config -d 'Take the kernel\'s configuration from FILE instead of config-VERSION beside it' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from check" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from check" -l json -d 'Print JSON (schema: kernel.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l source -d 'The kernel\'s source: a folder, a linux-source-*.tar.xz, or a package\'s name (linux-source-6.1)' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l with -d 'Add to the role: a name that `kernel roles` lists, or a TOML file of the same form' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l base -d 'Lay dom0-full over FILE instead of Debian\'s configuration (linux-config-*, /boot/config-*)' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l root -d 'For dom0-minimal: take the devices of the machine whose root is mounted at DIR (with its /sys) instead of this one\'s' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l facts -d 'For dom0-minimal: take the devices from FILE, written by `xenup inspect --json` on that machine' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l modules -d 'For dom0-minimal: take the names of drivers from DIR, a /lib/modules/VERSION of a kernel with many' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l waive -d 'Do without these symbols where the tree does not grant them' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -s o -l output -d 'Write the .config to FILE, which must not be there yet, instead of printing it' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l no-hardware -d 'For dom0-minimal: ask for no device\'s driver; they are yours to add'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -l json -d 'Print what was asked, what came of it, and the .config as JSON (schema: kernel-config.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l source -d 'The kernel\'s source: a folder, a linux-source-*.tar.xz, or a package\'s name (linux-source-6.1)' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l with -d 'Add to the role: a name that `kernel roles` lists, or a TOML file of the same form' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l base -d 'Lay dom0-full over FILE instead of Debian\'s configuration (linux-config-*, /boot/config-*)' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l root -d 'For dom0-minimal: take the devices of the machine whose root is mounted at DIR (with its /sys) instead of this one\'s' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l facts -d 'For dom0-minimal: take the devices from FILE, written by `xenup inspect --json` on that machine' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l modules -d 'For dom0-minimal: take the names of drivers from DIR, a /lib/modules/VERSION of a kernel with many' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l waive -d 'Do without these symbols where the tree does not grant them' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -s o -l output -d 'Put the image, its configuration and the packages into DIR, which must not be there yet (else kernel-RELEASE here)' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -s j -l jobs -d 'Compile so many files at once (else as many as there are processors)' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l xen -d 'Judge the image by this release of Xen instead of the newest in /boot (else 4.20, Debian 13\'s)' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l no-hardware -d 'For dom0-minimal: ask for no device\'s driver; they are yours to add'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l as-root -d 'Build as root where there is no ordinary user'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l plan -d 'As root, where packages are missing: show the plan that installs them, and do nothing'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -l yes -d 'As root, where packages are missing: install them without asking'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from install" -l name -d 'Call it NAME instead of what `uname -r` will say' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from install" -l xen -d 'Judge it by this release of Xen instead of the newest in /boot (else 4.20, Debian 13\'s)' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from install" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from install" -l guest -d 'Put a kernel that can be dom0 where guests find it'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from install" -l plan -d 'Show the plan that would install a kernel for dom0, and install nothing'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from install" -l yes -d 'Install a kernel for dom0 without asking'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from install" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from roles" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from roles" -l json -d 'Print JSON (schema: kernel-roles.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from roles" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from roles" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from explain" -l source -d 'The kernel\'s source, as for `kernel config`' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from explain" -l config -d 'Say also what the symbol is in this .config, and what keeps it off' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from explain" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from explain" -l json -d 'Print JSON (schema: kernel-explain.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from explain" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from diff" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from diff" -l all -d 'List the symbols that no role asks for as well'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from diff" -l json -d 'Print JSON (schema: kernel-diff.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from diff" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand kernel; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand tls" -l root -d 'Look at the system whose root is mounted at DIR, under both kinds of kernel' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand tls" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand tls" -l json -d 'Print JSON (schema: tls.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand tls" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand tls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand network; and not __fish_seen_subcommand_from import show" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand network; and not __fish_seen_subcommand_from import show" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand network; and not __fish_seen_subcommand_from import show" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand network; and not __fish_seen_subcommand_from import show" -f -a "import" -d 'Read what xend and ifupdown made of an old host\'s network into a host.toml'
complete -c xenup -n "__fish_xenup_using_subcommand network; and not __fish_seen_subcommand_from import show" -f -a "show" -d 'Draw who is a port of whom, who has which address, whose file says so; before and after a plan'
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from import" -l root -d 'Read the machine whose root is mounted at DIR instead of the running one' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from import" -l out -d 'Write the host.toml to FILE, which must not be there yet, and print the findings' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from import" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from import" -l json -d 'Print JSON (schema: network-import.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -l root -d 'Read the machine whose root is mounted at DIR instead of the running one' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -l facts -d 'Take the facts from FILE, written by `xenup inspect --json` on any machine' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -l plan -d 'Draw also what this plan file would leave' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -l host -d 'Draw also what a plan for this host.toml would leave' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -l svg -d 'Write the picture as SVG to FILE; `-` is standard output' -r -F
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -l json -d 'Print JSON (schema: network-show.schema.json)'
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand network; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c xenup -n "__fish_xenup_using_subcommand guard" -l deadline -d 'Seconds until the change is undone unless confirmed' -r
complete -c xenup -n "__fish_xenup_using_subcommand guard" -l color -d 'When to use colour: auto, always or never; NO_COLOR is honoured' -r
complete -c xenup -n "__fish_xenup_using_subcommand guard" -s q -l quiet -d 'Print results and errors alone'
complete -c xenup -n "__fish_xenup_using_subcommand guard" -s h -l help -d 'Print help'
