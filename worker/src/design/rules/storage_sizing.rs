use super::{Findings, Rule, Subject, each_part, quoted, reason};
use crate::design::model::Storage;
use crate::design::units::{Amount, Size, Written};

/// Every partition and logical volume has a size, and percentages of one whole leave something over.
pub(super) const RULE: Rule = Rule { code: "DD2003", name: "storage_sizing", title: "Storage Sizing", check };

const PERCENT_MAX: i64 = 99;

fn check(subject: &Subject<'_>, found: &mut Findings) {
    each_part(subject.compiled, |node| &node.settings.storage, judge, found);
}

fn judge(storage: &Storage, found: &mut Findings) {
    for device in &storage.physical_devices {
        let parts = device.partitions.iter().map(|partition| (&*partition.name, &partition.size));
        whole(("device", &device.name), "partition", parts, found);
    }
    for group in &storage.volume_groups {
        let parts = group.logical_volumes.iter().map(|volume| (&*volume.name, &volume.size));
        whole(("volume group", &group.name), "logical volume", parts, found);
    }
}

/// The parts of one device or group.
fn whole<'s>(
    (kind, name): (&str, &str),
    part: &str,
    parts: impl Iterator<Item = (&'s str, &'s Option<Written<Size>>)>,
    found: &mut Findings,
) {
    let mut sum: i64 = 0;
    let remedy = format!("set the size of the {part}: a whole number and a unit such as g, gi or %");
    for (of, size) in parts {
        let of = quoted(of);
        match size.as_ref().map(|size| (&size.text, size.value)) {
            None => found.push(found.error(format!("the {part} {of} has no size")).remedy(remedy.clone())),
            Some((text, None)) => {
                let reason = reason::<Size>(text);
                let error = found.error(format!("the {part} {of} has the size {}: {reason}", quoted(text)));
                found.push(error.remedy(remedy.clone()));
            }
            Some((text, Some(Size { amount: Amount::Percent(percent), .. }))) if percent < 0 => {
                let error = found.error(format!("the {part} {of} has the size {}, which is negative", quoted(text)));
                found.push(error.remedy(remedy.clone()));
            }
            Some((_, Some(Size { amount: Amount::Percent(percent), .. }))) => sum = sum.saturating_add(percent),
            Some((_, Some(Size { amount: Amount::Bytes(_), .. }))) => {}
        }
    }
    if sum > PERCENT_MAX {
        let name = quoted(name);
        let error = found.error(format!("the {part}s of the {kind} {name} take {sum}%, more than {PERCENT_MAX}%"));
        found.push(error.remedy("lower the percentages"));
    }
}
