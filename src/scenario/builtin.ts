import abort from "../../scenarios/abort.yaml" with { type: "text" };
import controlMainline from "../../scenarios/control-mainline.yaml" with { type: "text" };
import handover from "../../scenarios/handover.yaml" with { type: "text" };
import highIova from "../../scenarios/high-iova.yaml" with { type: "text" };
import noiommuCompaction from "../../scenarios/noiommu-compaction.yaml" with { type: "text" };
import noiommuKeepalive from "../../scenarios/noiommu-keepalive.yaml" with { type: "text" };
import noiommuMilestone from "../../scenarios/noiommu-milestone.yaml" with { type: "text" };
import noiommuMixed from "../../scenarios/noiommu-mixed.yaml" with { type: "text" };
import noiommuPagemap from "../../scenarios/noiommu-pagemap.yaml" with { type: "text" };
import onlyGuestmemfs from "../../scenarios/only-guestmemfs.yaml" with { type: "text" };
import persistedIommufd from "../../scenarios/persisted-iommufd.yaml" with { type: "text" };
import persistedIommufdPasid from "../../scenarios/persisted-iommufd-pasid.yaml" with {
  type: "text",
};
import pinnedFile from "../../scenarios/pinned-file.yaml" with { type: "text" };
import redrive from "../../scenarios/redrive.yaml" with { type: "text" };
import redriveReplace from "../../scenarios/redrive-replace.yaml" with { type: "text" };
import replay from "../../scenarios/replay.yaml" with { type: "text" };
import rollback from "../../scenarios/rollback.yaml" with { type: "text" };
import rollbackMainline from "../../scenarios/rollback-mainline.yaml" with { type: "text" };
import smallPages from "../../scenarios/small-pages.yaml" with { type: "text" };
import tour from "../../scenarios/tour.yaml" with { type: "text" };

/** The scenarios that come with the program, by name. Imported as text: reading needs nothing. */
export const BUILTIN: ReadonlyMap<string, string> = new Map([
  ["tour", tour],
  ["persisted-iommufd", persistedIommufd],
  ["persisted-iommufd-pasid", persistedIommufdPasid],
  ["control-mainline", controlMainline],
  ["pinned-file", pinnedFile],
  ["only-guestmemfs", onlyGuestmemfs],
  ["abort", abort],
  ["replay", replay],
  ["redrive", redrive],
  ["rollback", rollback],
  ["redrive-replace", redriveReplace],
  ["handover", handover],
  ["high-iova", highIova],
  ["small-pages", smallPages],
  ["rollback-mainline", rollbackMainline],
  ["noiommu-keepalive", noiommuKeepalive],
  ["noiommu-compaction", noiommuCompaction],
  ["noiommu-pagemap", noiommuPagemap],
  ["noiommu-milestone", noiommuMilestone],
  ["noiommu-mixed", noiommuMixed],
]);
