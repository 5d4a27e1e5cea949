//! Names and labels of everything made in the engine.
//!
//! A name tells all there is to know, because podman's event stream carries names but no labels: a group's pause
//! container and volume are called by the group's id, its containers `<group>_<container>_<instance>`.

use std::collections::HashMap;

use crate::spec::GroupId;

/// Label of all that a mock-eci made; its value says which mock-eci.
const OWNER_LABEL: &str = "io.virtual-node.mock-eci";
/// Label with the group's id.
const GROUP_LABEL: &str = "io.virtual-node.mock-eci.group";
/// Label with the container's name within the group, for people.
const CONTAINER_LABEL: &str = "io.virtual-node.mock-eci.container";

/// `key=value` that selects all that this owner made.
pub(super) fn owner_filter(owner: &str) -> String {
    format!("{OWNER_LABEL}={owner}")
}

/// `key=value` that selects all of one group.
pub(super) fn group_filter(group: &GroupId) -> String {
    format!("{GROUP_LABEL}={group}")
}

/// Labels of a group's pause container and volumes.
pub(super) fn group_labels(owner: &str, group: &GroupId) -> HashMap<String, String> {
    HashMap::from([
        (OWNER_LABEL.to_owned(), owner.to_owned()),
        (GROUP_LABEL.to_owned(), group.to_string()),
    ])
}

/// Labels of one container.
pub(super) fn container_labels(owner: &str, group: &GroupId, container: &str) -> HashMap<String, String> {
    let mut labels = group_labels(owner, group);
    labels.insert(CONTAINER_LABEL.to_owned(), container.to_owned());
    labels
}

/// The group a set of labels names.
pub(super) fn group_of(labels: &HashMap<String, String>) -> Option<GroupId> {
    labels.get(GROUP_LABEL).map(|id| GroupId::from(id.as_str()))
}

/// Name of the container that owns a group's network.
pub(super) fn pause(group: &GroupId) -> String {
    group.to_string()
}

/// Name of the volume that holds a group's files.
pub(super) fn volume(group: &GroupId) -> String {
    group.to_string()
}

/// Name of the volume behind the `index`th volume of a group, where it is one of its own.
pub(super) fn memory_volume(group: &GroupId, index: usize) -> String {
    format!("{group}_memory_{index}")
}

/// Name of one instance of a container.
pub(super) fn container(group: &GroupId, container: &str, instance: u32) -> String {
    format!("{group}_{container}_{instance}")
}

/// What [`container`] was made from; none for pause containers and strangers.
pub(super) fn parse_container(name: &str) -> Option<(GroupId, &str, u32)> {
    let (group, rest) = name.trim_start_matches('/').split_once('_')?;
    let (container, instance) = rest.rsplit_once('_')?;
    Some((GroupId::from(group), container, instance.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_name_tells_group_container_and_instance() {
        let group = GroupId::from("eci-0123456789abcdefghij");
        let name = container(&group, "main_1-x", 12);
        assert_eq!(parse_container(&name), Some((group.clone(), "main_1-x", 12)));
        assert_eq!(
            parse_container(&format!("/{name}")),
            Some((group.clone(), "main_1-x", 12))
        );
        assert_eq!(parse_container(&pause(&group)), None);
        assert_eq!(parse_container("postgres"), None);
        assert_eq!(parse_container("compose_web"), None);
    }
}
