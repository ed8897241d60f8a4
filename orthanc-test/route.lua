-- Every study that has been quiet for StableAge seconds goes to the node, whole: new images, known ones, and the
-- node's own results when they come back. That is what an archive does; the node must cope with all of it.
function OnStableStudy(studyId, tags, metadata)
  RestApiPost('/modalities/chexnode/store', DumpJson({ Resources = { studyId }, Asynchronous = true }, true))
end
