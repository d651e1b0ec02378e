import abort from "../../scenarios/abort.yaml" with { type: "text" };
import alias from "../../scenarios/alias.yaml" with { type: "text" };
import controlMainline from "../../scenarios/control-mainline.yaml" with { type: "text" };
import fleet from "../../scenarios/fleet.yaml" with { type: "text" };
import largeGuest from "../../scenarios/large-guest.yaml" with { type: "text" };
import firmwareDevice from "../../scenarios/firmware-device.yaml" with { type: "text" };
import handover from "../../scenarios/handover.yaml" with { type: "text" };
import highIova from "../../scenarios/high-iova.yaml" with { type: "text" };
import nativeDriver from "../../scenarios/native-driver.yaml" with { type: "text" };
import noiommuCompaction from "../../scenarios/noiommu-compaction.yaml" with { type: "text" };
import noiommuKeepalive from "../../scenarios/noiommu-keepalive.yaml" with { type: "text" };
import noiommuMilestone from "../../scenarios/noiommu-milestone.yaml" with { type: "text" };
import noiommuMixed from "../../scenarios/noiommu-mixed.yaml" with { type: "text" };
import noiommuPagemap from "../../scenarios/noiommu-pagemap.yaml" with { type: "text" };
import noiommuLostMaster from "../../scenarios/noiommu-lost-master.yaml" with { type: "text" };
import noiommuOtherDriver from "../../scenarios/noiommu-other-driver.yaml" with { type: "text" };
import noiommuReset from "../../scenarios/noiommu-reset.yaml" with { type: "text" };
import noiommuUnasked from "../../scenarios/noiommu-unasked.yaml" with { type: "text" };
import noiommuRollback from "../../scenarios/noiommu-rollback.yaml" with { type: "text" };
import noiommuUnpinned from "../../scenarios/noiommu-unpinned.yaml" with { type: "text" };
import noiommuUnpreserved from "../../scenarios/noiommu-unpreserved.yaml" with { type: "text" };
import olderFormat from "../../scenarios/older-format.yaml" with { type: "text" };
import onlyGuestmemfs from "../../scenarios/only-guestmemfs.yaml" with { type: "text" };
import persistedIommufd from "../../scenarios/persisted-iommufd.yaml" with { type: "text" };
import persistedIommufdPasid from "../../scenarios/persisted-iommufd-pasid.yaml" with {
  type: "text",
};
import pickedUpTwice from "../../scenarios/picked-up-twice.yaml" with { type: "text" };
import pinnedFile from "../../scenarios/pinned-file.yaml" with { type: "text" };
import redrive from "../../scenarios/redrive.yaml" with { type: "text" };
import redriveReplace from "../../scenarios/redrive-replace.yaml" with { type: "text" };
import replay from "../../scenarios/replay.yaml" with { type: "text" };
import rollback from "../../scenarios/rollback.yaml" with { type: "text" };
import rollbackMainline from "../../scenarios/rollback-mainline.yaml" with { type: "text" };
import rfcV1Posted from "../../scenarios/rfc-v1-posted.yaml" with { type: "text" };
import smallPages from "../../scenarios/small-pages.yaml" with { type: "text" };
import oneGone from "../../scenarios/one-gone.yaml" with { type: "text" };
import plainKexec from "../../scenarios/plain-kexec.yaml" with { type: "text" };
import guestIommu from "../../scenarios/guest-iommu.yaml" with { type: "text" };
import handoverScalable from "../../scenarios/handover-scalable.yaml" with { type: "text" };
import smallTree from "../../scenarios/small-tree.yaml" with { type: "text" };
import unmapAfterUpdate from "../../scenarios/unmap-after-update.yaml" with { type: "text" };
import claimFails from "../../scenarios/claim-fails.yaml" with { type: "text" };
import idsInUse from "../../scenarios/ids-in-use.yaml" with { type: "text" };
import khoVersion from "../../scenarios/kho-version.yaml" with { type: "text" };
import spoiltLeaf from "../../scenarios/spoilt-leaf.yaml" with { type: "text" };
import spoiltLeafAdopted from "../../scenarios/spoilt-leaf-adopted.yaml" with { type: "text" };
import nobodyComes from "../../scenarios/nobody-comes.yaml" with { type: "text" };
import heirDies from "../../scenarios/heir-dies.yaml" with { type: "text" };
import otherMemoryRefused from "../../scenarios/other-memory-refused.yaml" with { type: "text" };
import firmwareMapping from "../../scenarios/firmware-mapping.yaml" with { type: "text" };
import othersAreBlocked from "../../scenarios/others-are-blocked.yaml" with { type: "text" };
import smallPagesToLarge from "../../scenarios/small-pages-to-large.yaml" with { type: "text" };
import largePagesToSmall from "../../scenarios/large-pages-to-small.yaml" with { type: "text" };
import tableLimit from "../../scenarios/table-limit.yaml" with { type: "text" };
import smallPagesJoined from "../../scenarios/small-pages-joined.yaml" with { type: "text" };
import largePagesSplit from "../../scenarios/large-pages-split.yaml" with { type: "text" };
import pagesSwept from "../../scenarios/pages-swept.yaml" with { type: "text" };
import memfdRam from "../../scenarios/memfd-ram.yaml" with { type: "text" };
import redriveSmmu from "../../scenarios/redrive-smmu.yaml" with { type: "text" };
import redrivePasid from "../../scenarios/redrive-pasid.yaml" with { type: "text" };
import tenUpdates from "../../scenarios/ten-updates.yaml" with { type: "text" };
import tour from "../../scenarios/tour.yaml" with { type: "text" };
import marking from "../../scenarios/marking.yaml" with { type: "text" };
import frozen from "../../scenarios/frozen.yaml" with { type: "text" };
import pickedUp from "../../scenarios/picked-up.yaml" with { type: "text" };
import filePins from "../../scenarios/file-pins.yaml" with { type: "text" };
import mixedMemory from "../../scenarios/mixed-memory.yaml" with { type: "text" };
import racingThreads from "../../scenarios/racing-threads.yaml" with { type: "text" };
import fullBlob from "../../scenarios/full-blob.yaml" with { type: "text" };
import noMemoryAtBoot from "../../scenarios/no-memory-at-boot.yaml" with { type: "text" };
import noMemoryForPickUp from "../../scenarios/no-memory-for-pick-up.yaml" with { type: "text" };
import nothingToPickUp from "../../scenarios/nothing-to-pick-up.yaml" with { type: "text" };
import notMounted from "../../scenarios/not-mounted.yaml" with { type: "text" };
import pageRequests from "../../scenarios/page-requests.yaml" with { type: "text" };
import pageRequestsRefused from "../../scenarios/page-requests-refused.yaml" with {
  type: "text",
};
import otherFormat from "../../scenarios/other-format.yaml" with { type: "text" };
import reusedInode from "../../scenarios/reused-inode.yaml" with { type: "text" };
import twice from "../../scenarios/twice.yaml" with { type: "text" };

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
  ["marking", marking],
  ["frozen", frozen],
  ["picked-up", pickedUp],
  ["file-pins", filePins],
  ["mixed-memory", mixedMemory],
  ["racing-threads", racingThreads],
  ["full-blob", fullBlob],
  ["no-memory-at-boot", noMemoryAtBoot],
  ["no-memory-for-pick-up", noMemoryForPickUp],
  ["nothing-to-pick-up", nothingToPickUp],
  ["not-mounted", notMounted],
  ["other-format", otherFormat],
  ["reused-inode", reusedInode],
  ["twice", twice],
  ["redrive", redrive],
  ["rollback", rollback],
  ["redrive-replace", redriveReplace],
  ["spoilt-leaf", spoiltLeaf],
  ["spoilt-leaf-adopted", spoiltLeafAdopted],
  ["nobody-comes", nobodyComes],
  ["heir-dies", heirDies],
  ["other-memory-refused", otherMemoryRefused],
  ["firmware-mapping", firmwareMapping],
  ["others-are-blocked", othersAreBlocked],
  ["small-pages-to-large", smallPagesToLarge],
  ["large-pages-to-small", largePagesToSmall],
  ["table-limit", tableLimit],
  ["redrive-smmu", redriveSmmu],
  ["small-pages-joined", smallPagesJoined],
  ["large-pages-split", largePagesSplit],
  ["pages-swept", pagesSwept],
  ["memfd-ram", memfdRam],
  ["redrive-pasid", redrivePasid],
  ["page-requests", pageRequests],
  ["page-requests-refused", pageRequestsRefused],
  ["ten-updates", tenUpdates],
  ["fleet", fleet],
  ["large-guest", largeGuest],
  ["handover", handover],
  ["high-iova", highIova],
  ["small-pages", smallPages],
  ["firmware-device", firmwareDevice],
  ["alias", alias],
  ["older-format", olderFormat],
  ["rfc-v1-posted", rfcV1Posted],
  ["picked-up-twice", pickedUpTwice],
  ["native-driver", nativeDriver],
  ["one-gone", oneGone],
  ["plain-kexec", plainKexec],
  ["guest-iommu", guestIommu],
  ["handover-scalable", handoverScalable],
  ["small-tree", smallTree],
  ["unmap-after-update", unmapAfterUpdate],
  ["claim-fails", claimFails],
  ["ids-in-use", idsInUse],
  ["kho-version", khoVersion],
  ["rollback-mainline", rollbackMainline],
  ["noiommu-keepalive", noiommuKeepalive],
  ["noiommu-compaction", noiommuCompaction],
  ["noiommu-pagemap", noiommuPagemap],
  ["noiommu-milestone", noiommuMilestone],
  ["noiommu-mixed", noiommuMixed],
  ["noiommu-lost-master", noiommuLostMaster],
  ["noiommu-reset", noiommuReset],
  ["noiommu-other-driver", noiommuOtherDriver],
  ["noiommu-unpreserved", noiommuUnpreserved],
  ["noiommu-unpinned", noiommuUnpinned],
  ["noiommu-rollback", noiommuRollback],
  ["noiommu-unasked", noiommuUnasked],
]);
