//! How objects of one version of a definition become those of another: by name alone, or by a webhook.
//!
//! After `pkg/apiserver/conversion` of `k8s.io/apiextensions-apiserver`. What is sent and what is taken of an answer is
//! here; nothing is sent from here.

use serde_json::{Map, Value, json};

/// How a definition converts.
#[derive(Clone, Debug, PartialEq)]
pub enum Conversion {
    /// There is one version.
    Single,
    /// Versions differ in their name.
    Name,
    /// `spec.conversion.webhook`.
    Webhook(Value),
}

/// Versions of a review that this server speaks.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

impl Conversion {
    /// The conversion of a definition.
    pub fn of(definition: &Value) -> Self {
        let spec = &definition["spec"];
        if spec["versions"].as_array().is_none_or(|versions| versions.len() < 2) {
            return Self::Single;
        }
        match spec["conversion"]["strategy"].as_str() {
            Some("Webhook") => Self::Webhook(spec["conversion"]["webhook"].clone()),
            _ => Self::Name,
        }
    }
}

/// The version of a review that a webhook is sent.
pub fn review_version(webhook: &Value) -> &str {
    let own = webhook["conversionReviewVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    own.into_iter().find(|version| VERSIONS.contains(version)).unwrap_or("v1")
}

/// What asks for `objects` in another version.
pub fn review(version: &str, uid: &str, desired: &str, objects: &[Value]) -> Value {
    json!({
        "kind": "ConversionReview",
        "apiVersion": format!("apiextensions.k8s.io/{version}"),
        "request": {"uid": uid, "desiredAPIVersion": desired, "objects": objects},
    })
}

/// A version and kind as Go writes them.
pub fn shown_kind(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    format!("{}, Kind={}", text("apiVersion"), text("kind"))
}

/// The objects of an answer, in the place of the `originals`.
///
/// # Errors
/// What is wrong with it, in upstream's words.
pub fn converted(
    body: &[u8],
    version: &str,
    uid: &str,
    desired: &str,
    originals: &[Value],
) -> Result<Vec<Value>, String> {
    let about = originals.first().map(shown_kind).unwrap_or_default();
    let failed = |fault: String| format!("conversion webhook for {about} failed: {fault}");
    let review: Value = serde_json::from_slice(body).map_err(|error| failed(error.to_string()))?;
    let objects = objects(&review, version, uid).map_err(failed)?;
    if objects.len() != originals.len() {
        let (given, wanted) = (objects.len(), originals.len());
        return Err(format!("conversion webhook for {about} returned {given} objects, expected {wanted}"));
    }
    let pairs = originals.iter().zip(objects).enumerate();
    let checked = pairs.map(|(index, (original, object))| {
        restored(original, object.clone(), desired)
            .map_err(|fault| format!("conversion webhook for {about} returned {}", fault.at(index)))
    });
    checked.collect()
}

fn objects<'a>(review: &'a Value, version: &str, uid: &str) -> Result<&'a [Value], String> {
    let wanted = format!("apiextensions.k8s.io/{version}");
    if review["apiVersion"] != wanted.as_str() || review["kind"] != "ConversionReview" {
        let given = shown_kind(review);
        return Err(format!("expected webhook response of {wanted}, Kind=ConversionReview, got {given}"));
    }
    let response = review.get("response").filter(|response| response.is_object()).ok_or("no response provided")?;
    let given = response["uid"].as_str().unwrap_or_default();
    if version == "v1" && given != uid {
        return Err(format!("expected response.uid={uid:?}, got {given:?}"));
    }
    let (status, message) = (&response["result"]["status"], &response["result"]["message"]);
    if status != "Success" {
        return Err(match message.as_str().filter(|message| !message.is_empty()) {
            Some(message) => message.to_owned(),
            None => format!("response.result.status was '{}', not 'Success'", status.as_str().unwrap_or_default()),
        });
    }
    Ok(response["convertedObjects"].as_array().map(Vec::as_slice).unwrap_or_default())
}

/// Why an object of an answer is not taken.
enum Fault {
    Object(String),
    Metadata(String),
}

impl Fault {
    fn at(&self, index: usize) -> String {
        match self {
            Self::Object(fault) => format!("invalid converted object at index {index}: {fault}"),
            Self::Metadata(fault) => format!("invalid metadata in object at index {index}: {fault}"),
        }
    }
}

/// A converted object with the metadata of the original: a webhook changes labels and annotations at most.
fn restored(original: &Value, mut object: Value, desired: &str) -> Result<Value, Fault> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    if version != desired {
        let fault = format!("invalid groupVersion (expected {desired}, received {version})");
        return Err(Fault::Object(fault));
    }
    if object["kind"] != original["kind"] {
        let text = |object: &Value| object["kind"].as_str().unwrap_or_default().to_owned();
        let fault = format!("invalid kind (expected {}, received {})", text(original), text(&object));
        return Err(Fault::Object(fault));
    }
    for (name, shown) in [("name", "name"), ("namespace", "namespace"), ("uid", "UID")] {
        let text = |object: &Value| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        if text(&object) != text(original) {
            let fault = format!("must have the same {shown}: {} != {}", text(original), text(&object));
            return Err(Fault::Object(fault));
        }
    }
    let Some(given) = object.get("metadata").and_then(Value::as_object) else {
        return Err(Fault::Metadata("missing metadata in converted object".to_owned()));
    };
    let mut metadata = original["metadata"].as_object().cloned().unwrap_or_default();
    for name in ["labels", "annotations"] {
        replace(&mut metadata, given, name).map_err(Fault::Metadata)?;
    }
    object["metadata"] = Value::Object(metadata);
    Ok(object)
}

fn replace(metadata: &mut Map<String, Value>, given: &Map<String, Value>, name: &str) -> Result<(), String> {
    match given.get(name).filter(|value| !value.is_null()) {
        None => drop(metadata.remove(name)),
        Some(Value::Object(texts)) if texts.values().all(Value::is_string) => {
            metadata.insert(name.to_owned(), Value::Object(texts.clone()));
        }
        Some(_) => {
            return Err(format!("invalid metadata of type map[string]interface {{}} in {name} of converted object"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original() -> Value {
        json!({"kind": "Car", "apiVersion": "a.org/v1", "metadata": {
            "name": "c", "namespace": "n", "uid": "1", "resourceVersion": "7", "labels": {"a": "b"}}, "spec": {"at": "h:1"}})
    }

    fn answer(change: impl FnOnce(&mut Value)) -> Result<Vec<Value>, String> {
        let mut object = original();
        object["apiVersion"] = "a.org/v2".into();
        let mut review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
            "response": {"uid": "u", "result": {"status": "Success"}, "convertedObjects": [object]}});
        change(&mut review);
        converted(review.to_string().as_bytes(), "v1", "u", "a.org/v2", &[original()])
    }

    #[test]
    fn metadata_other_than_labels_and_annotations_stays_as_it_was() {
        let objects = answer(|review| {
            let metadata = &mut review["response"]["convertedObjects"][0]["metadata"];
            metadata["labels"] = json!({"c": "d"});
            metadata["resourceVersion"] = "99".into();
        });
        let object = &objects.unwrap()[0];
        assert_eq!(object["metadata"]["labels"], json!({"c": "d"}));
        assert_eq!(object["metadata"]["resourceVersion"], "7");
        assert_eq!(object["apiVersion"], "a.org/v2");
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_told_in_upstreams_words() {
        type Change = fn(&mut Value);
        let told = |change: Change| answer(change).unwrap_err();
        let rows: [(Change, &str); 7] = [
            (|review| review["response"]["result"] = json!({"status": "Failure", "message": "no"}), "failed: no"),
            (|review| review["response"]["result"] = json!({}), "failed: response.result.status was '', not 'Success'"),
            (|review| review["response"]["uid"] = "x".into(), "failed: expected response.uid=\"u\", got \"x\""),
            (|review| drop(review["response"].take()), "failed: no response provided"),
            (|review| review["response"]["convertedObjects"] = json!([]), "returned 0 objects, expected 1"),
            (
                |review| review["response"]["convertedObjects"][0]["apiVersion"] = "a.org/v1".into(),
                "returned invalid converted object at index 0: invalid groupVersion (expected a.org/v2, received a.org/v1)",
            ),
            (
                |review| review["response"]["convertedObjects"][0]["metadata"]["uid"] = "2".into(),
                "returned invalid converted object at index 0: must have the same UID: 1 != 2",
            ),
        ];
        for (change, expected) in rows {
            assert_eq!(told(change), format!("conversion webhook for a.org/v1, Kind=Car {expected}"));
        }
    }
}
