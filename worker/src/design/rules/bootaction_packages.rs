use super::{Findings, Rule, Subject, quoted};
use crate::design::model::{Asset, AssetData, AssetKind, BootAction};

/// A list of packages names some, or where they are named, and their versions are versions.
pub(super) const RULE: Rule =
    Rule { code: "DD4002", name: "bootaction_packages", title: "Bootaction pkg_list Validation", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    for action in subject.compiled.design.boot_actions.iter() {
        for asset in action.assets.iter().filter(|asset| asset.kind == AssetKind::PkgList) {
            judge(action, asset, found);
        }
    }
}

fn judge(action: &BootAction, asset: &Asset, found: &mut Findings) {
    let packages = match &asset.data {
        Some(AssetData::Packages(packages)) => Some(packages),
        _ => None,
    };
    if asset.location.is_none() && packages.is_none_or(|packages| packages.is_empty()) {
        let error = found.error("a pkg_list has neither a location nor packages");
        found.push(error.remedy("set the asset's location, or packages and their versions as its data").about(action));
    }
    for (package, version) in packages.into_iter().flatten() {
        if let Some(version) = version.as_deref().filter(|version| !version.is_empty() && !is_version(version)) {
            let (package, version) = (quoted(package), quoted(version));
            let error = found.error(format!("the package {package} has {version} for a version"));
            found.push(error.remedy("write [epoch:]upstream-revision as in 1:2.3-4, or null for any").about(action));
        }
    }
}

/// Whether a text is `[epoch:]upstream-revision` of a Debian package; the revision is what stands behind the last
/// hyphen.
fn is_version(text: &str) -> bool {
    let rest = match text.split_once(':') {
        Some((epoch, _)) if epoch.is_empty() || !epoch.bytes().all(|byte| byte.is_ascii_digit()) => return false,
        Some((_, rest)) => rest,
        None => text,
    };
    let is_part = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    rest.rsplit_once('-').is_some_and(|(upstream, revision)| is_part(upstream, b".+~-") && is_part(revision, b".+~"))
}
