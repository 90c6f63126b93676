# Written by xenup: gives a guest's interface its VLANs on a VLAN-aware bridge. Xen's vif-bridge reads this at its end.
# vlan= in the guest's vif says them (Xen 4.20, xl-network-configuration(5)), or TAG in bridge=BRIDGE.TAG, where that is
# another name of the bridge. A guest that says none has VLAN 1, as what has no tag outside; `bridge vlan` shows all.

xenup_vlan_add() {
    bridge vlan add dev "$dev" vid "$@" || fatal "$dev cannot have VLAN $1 on $xenup_master"
}

xenup_vlan_term() {
    local term=$1 tag count
    shift
    if [[ $term =~ ^([0-9]{1,4})\+([0-9]{1,4})x([0-9]{1,4})$ ]]; then
        tag=$((10#${BASH_REMATCH[1]}))
        for ((count = 0; count <= 10#${BASH_REMATCH[3]}; count++)); do
            xenup_vlan_add "$tag" "$@"
            tag=$((tag + 10#${BASH_REMATCH[2]}))
        done
    elif [[ $term =~ ^[0-9]{1,4}(-[0-9]{1,4})?$ ]]; then
        xenup_vlan_add "$term" "$@"
    else
        fatal "vlan= of $dev does not take $term"
    fi
}

xenup_vlans() {
    local term terms
    IFS=/ read -r -a terms <<<"$1"
    # The one that the bridge gives every port.
    bridge vlan del dev "$dev" vid 1-4094 || fatal "$dev cannot leave VLAN 1 of $xenup_master"
    for term in "${terms[@]}"; do
        case $term in
            *p) xenup_vlan_term "${term%p}" pvid untagged ;;
            *u) xenup_vlan_term "${term%u}" untagged ;;
            *[-+]*) xenup_vlan_term "$term" ;;
            *) if [ "${#terms[@]}" -eq 1 ]; then xenup_vlan_term "$term" pvid untagged; else xenup_vlan_term "$term"; fi ;;
        esac
    done
}

xenup_master=$(basename "$(readlink "/sys/class/net/$dev/master" || true)")
if [ "$command" = online ] || [ "$command" = add ]; then
    if [ "$(cat "/sys/class/net/$dev/master/bridge/vlan_filtering" 2>/dev/null)" = 1 ]; then
        xenup_said=$(xenstore_read_default "$XENBUS_PATH/vlan" "")
        xenup_named=$(xenstore_read_default "$XENBUS_PATH/bridge" "")
        if [ -z "$xenup_said" ] && [[ $xenup_named == "$xenup_master".* ]]; then
            xenup_said=${xenup_named#"$xenup_master".}
        fi
        if [ -n "$xenup_said" ]; then
            xenup_vlans "$xenup_said"
        fi
    fi
fi
