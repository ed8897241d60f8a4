"""How the node names itself on the wire and in file meta (PS3.7 D.3.3.2)."""

#: Implementation Class UID; the same as in the results that the node writes (dicom_node.encode.marks)
IMPLEMENTATION_CLASS_UID = "2.25.12427373979577603450830615480893543041"
#: Implementation Version Name, at most 16 characters
IMPLEMENTATION_VERSION_NAME = "CHEXNODE"
