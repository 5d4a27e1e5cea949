//! Which groups a caller asks for, page by page.

use jiff::Timestamp;

use super::{group::Group, lifecycle::Status, resources::tags};
use crate::spec::GroupId;

/// Conditions, joined by AND; an empty one matches every group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these ids.
    pub ids: Option<Vec<GroupId>>,
    /// Only groups that changed at or after this time.
    pub changed_since: Option<Timestamp>,
    /// Tags that must be there; an empty value matches any.
    pub tags: Vec<(String, String)>,
    /// Name.
    pub name: Option<String>,
    /// Status.
    pub status: Option<Status>,
    /// Zone.
    pub zone_id: Option<String>,
    /// vSwitch.
    pub vswitch_id: Option<String>,
    /// Security group.
    pub security_group_id: Option<String>,
    /// Resource group.
    pub resource_group_id: Option<String>,
    /// Compute category, by its word.
    pub compute_category: Option<String>,
}

impl Filter {
    /// Whether every group meets all conditions but ids and time.
    pub fn is_empty(&self) -> bool {
        let others = Self {
            ids: self.ids.clone(),
            changed_since: self.changed_since,
            ..Self::default()
        };
        *self == others
    }

    /// Whether a group meets all conditions but ids and time, which the indexes answer.
    pub fn matches(&self, group: &Group) -> bool {
        let spec = &group.spec;
        let is = |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|w| w == actual);
        self.status.is_none_or(|s| s == group.status)
            && is(&self.name, &spec.name)
            && is(&self.zone_id, &spec.zone_id)
            && is(&self.vswitch_id, &spec.vswitch_id)
            && is(&self.security_group_id, &spec.security_group_id)
            && is(&self.resource_group_id, &spec.resource_group_id)
            && is(&self.compute_category, spec.compute_category.as_str())
            && tags::has_all(&spec.tags, &self.tags)
    }
}

/// Where a page begins. On the wire it is opaque text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageToken {
    /// Behind this position: a group's order of creation, or its newest change, by which list it is.
    pub after: (Timestamp, u64),
    /// How many matched when the first page was made: counting is done once per list, not once per page.
    pub total: usize,
}

impl PageToken {
    /// As text.
    pub fn encode(self) -> String {
        format!("{:x}-{:x}-{:x}", self.after.0.as_nanosecond(), self.after.1, self.total)
    }

    /// From text; none when this server never made it.
    pub fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let nanos = i128::from_str_radix(parts.next()?, 16).ok()?;
        let seq = u64::from_str_radix(parts.next()?, 16).ok()?;
        let total = usize::from_str_radix(parts.next()?, 16).ok()?;
        let at = Timestamp::from_nanosecond(nanos).ok()?;
        parts.next().is_none().then_some(Self {
            after: (at, seq),
            total,
        })
    }
}

/// What a page says beside its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many match in all.
    pub total: usize,
    /// Where the next page begins; none = this was the last one.
    pub next: Option<PageToken>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_tokens_survive_the_wire() {
        let token = PageToken {
            after: (Timestamp::UNIX_EPOCH, 77),
            total: 12,
        };
        assert_eq!(PageToken::decode(&token.encode()), Some(token));
        for bad in ["", "1-2", "x-1-1", "1-2-3-4", "-1-2"] {
            assert_eq!(PageToken::decode(bad), None, "{bad:?}");
        }
    }
}
