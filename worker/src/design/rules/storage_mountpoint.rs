use std::collections::HashMap;

use super::{Findings, Rule, Subject, each_part, quoted};
use crate::design::model::{Storage, Text};

/// Nothing is mounted where something else is.
pub(super) const RULE: Rule = Rule { code: "DD2004", name: "storage_mountpoint", title: "Storage Mountpoint", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    each_part(subject.compiled, |node| &node.settings.storage, judge, found);
}

fn judge(storage: &Storage, found: &mut Findings) {
    let partitions = storage.physical_devices.iter().flat_map(|device| &device.partitions);
    let partitions = partitions.map(|partition| ("partition", &partition.name, &partition.filesystem));
    let volumes = storage.volume_groups.iter().flat_map(|group| &group.logical_volumes);
    let volumes = volumes.map(|volume| ("logical volume", &volume.name, &volume.filesystem));
    let mut mounted: HashMap<&str, (&str, &Text)> = HashMap::new();
    for (kind, name, filesystem) in partitions.chain(volumes) {
        let Some(mountpoint) = filesystem.mountpoint.as_deref() else { continue };
        let (first_kind, first) = *mounted.entry(mountpoint).or_insert((kind, name));
        if !std::ptr::eq(first, name) {
            let (mountpoint, name, first) = (quoted(mountpoint), quoted(name), quoted(first));
            let error = found
                .error(format!("{mountpoint} is the mountpoint of the {first_kind} {first} and of the {kind} {name}"));
            found.push(error.remedy("change one of the mountpoints"));
        }
    }
}
