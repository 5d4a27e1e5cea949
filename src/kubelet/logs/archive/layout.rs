//! (pure) Keys of archived logs.

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kubelet::logs) struct ContainerKey {
    /// Namespace of the pod.
    pub(in crate::kubelet::logs) namespace: String,
    /// Name of the pod.
    pub(in crate::kubelet::logs) pod: String,
    /// UID of the pod.
    pub(in crate::kubelet::logs) uid: String,
    /// Name of the container.
    pub(in crate::kubelet::logs) container: String,
}

/// An object of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// Lines.
    Part(u32),
    /// That there are no more.
    End,
}

const END: &str = "end.json";

impl ContainerKey {
    /// Where all runs of the container are, with a slash at the end.
    pub(super) fn folder(&self, cluster: &str) -> String {
        let parts = [&self.namespace, &self.pod, &self.uid, &self.container];
        let mut folder = format!("{cluster}/");
        for part in parts {
            folder.push_str(&segment(part));
            folder.push('/');
        }
        folder
    }

    /// The key of an object.
    pub(super) fn object(&self, cluster: &str, restart: i32, object: Object) -> String {
        let folder = self.folder(cluster);
        match object {
            Object::Part(number) => format!("{folder}{restart}/{number:06}.log"),
            Object::End => format!("{folder}{restart}/{END}"),
        }
    }
}

/// A name as a part of a key: names of Kubernetes stay what they are, and nothing else leads elsewhere.
pub(super) fn segment(name: &str) -> String {
    if name.is_empty() || name.chars().all(|c| c == '.') {
        return "_".to_owned();
    }
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

/// Which object of which run a key is, less the container's folder.
pub(super) fn parse(rest: &str) -> Option<(i32, Object)> {
    let (restart, name) = rest.split_once('/')?;
    let object = match name {
        END => Object::End,
        name => Object::Part(name.strip_suffix(".log")?.parse().ok()?),
    };
    Some((restart.parse().ok()?, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_where_they_belong() {
        let key = ContainerKey {
            namespace: "jobs".to_owned(),
            pod: "wordcount-driver".to_owned(),
            uid: "0b5a".to_owned(),
            container: "spark-kubernetes-driver".to_owned(),
        };
        let part = key.object("prod", 2, Object::Part(17));
        assert_eq!(
            part,
            "prod/jobs/wordcount-driver/0b5a/spark-kubernetes-driver/2/000017.log"
        );
        let folder = key.folder("prod");
        assert_eq!(part.strip_prefix(&folder).and_then(parse), Some((2, Object::Part(17))));
        let end = key.object("prod", 0, Object::End);
        assert_eq!(end.strip_prefix(&folder).and_then(parse), Some((0, Object::End)));
        for other in ["", "0", "0/", "x/000000.log", "0/x.log", "0/000000.log.tmp"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn no_name_leads_elsewhere() {
        for (name, safe) in [("a-b.c_D", "a-b.c_D"), ("..", "_"), ("", "_"), ("a/../b c", "a_.._b_c")] {
            assert_eq!(segment(name), safe);
        }
    }
}
