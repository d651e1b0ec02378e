import assert from "node:assert/strict";
import * as regs from "../../../src/uapi/vtd_regs.ts";
import { Bench } from "./bench.ts";

Deno.test("CAP says what the unit was configured with", () => {
  const { unit } = new Bench({ domains: 256, sagaw: 0b1110, mgaw: 57, cachingMode: true });
  const cap = regs.decodeCap(unit.read32(regs.DMAR_CAP_REG), unit.read32(regs.DMAR_CAP_REG + 4));
  assert.deepEqual(cap, {
    domains: 256,
    writeBufferFlush: false,
    cachingMode: true,
    sagaw: 0b1110,
    mgaw: 57,
    faultRecordOffset: 0x20,
    superpages: 3,
    pageSelective: true,
    faultRecords: 8,
    maxAddressMask: 18,
    drain: true,
    fiveLevelFirst: false,
  });
  assert.equal(unit.read32(regs.DMAR_VER_REG), 0x10);
});

Deno.test("a CAP value as real machines log it decodes field by field", () => {
  const cap = regs.decodeCap(0x106f0466, 0x08d2078c);
  assert.equal(cap.domains, 65536);
  assert.equal(cap.sagaw, 0b00100);
  assert.equal(cap.mgaw, 48);
  assert.equal(cap.faultRecordOffset, 0x10);
  assert.equal(cap.superpages, 3);
  assert.equal(cap.faultRecords, 8);
  assert.equal(cap.maxAddressMask, 18);
  assert.ok(cap.pageSelective && cap.drain && !cap.cachingMode);
});

Deno.test("ND 0 to 6 stand for 16 to 65536 domains", () => {
  const counts = [0, 1, 2, 3, 4, 5, 6].map((nd) => regs.decodeCap(nd, 0).domains);
  assert.deepEqual(counts, [16, 64, 256, 1024, 4096, 16384, 65536]);
});

Deno.test("widths, agaws and levels belong together", () => {
  for (const [width, agaw, levels] of [[39, 1, 3], [48, 2, 4], [57, 3, 5]]) {
    assert.equal(regs.widthToAgaw(width), agaw);
    assert.equal(regs.agawToLevels(agaw), levels);
    assert.equal(regs.agawToWidth(agaw), width);
  }
});

Deno.test("ECAP has coherent walks, pass-through and snoop control, and no queue", () => {
  const ecap = regs.decodeEcap(new Bench().unit.read32(regs.DMAR_ECAP_REG));
  assert.deepEqual(ecap, {
    coherent: true,
    queuedInvalidation: false,
    deviceTlb: false,
    interruptRemapping: false,
    passThrough: true,
    snoopControl: true,
    iotlbOffset: 0x10,
  });
});

Deno.test("GCMD is write-only and GSTS shows TE as a level and RTPS for good", () => {
  const { unit } = new Bench();
  const gsts = () => unit.read32(regs.DMAR_GSTS_REG) | 0;
  assert.equal(gsts(), 0);
  unit.write32(regs.DMAR_GCMD_REG, regs.DMA_GCMD_SRTP);
  assert.equal(gsts(), regs.DMA_GSTS_RTPS);
  unit.write32(regs.DMAR_GCMD_REG, regs.DMA_GCMD_TE);
  assert.equal(gsts(), regs.DMA_GSTS_RTPS | regs.DMA_GSTS_TES);
  assert.equal(unit.read32(regs.DMAR_GCMD_REG), 0);
  unit.write32(regs.DMAR_GCMD_REG, 0);
  assert.equal(gsts(), regs.DMA_GSTS_RTPS);
});

Deno.test("a command for a feature the unit lacks shows nothing in GSTS", () => {
  const { unit } = new Bench();
  const lacking = regs.DMA_GCMD_QIE | regs.DMA_GCMD_IRE | regs.DMA_GCMD_CFI | regs.DMA_GCMD_SIRTP |
    regs.DMA_GCMD_WBF;
  unit.write32(regs.DMAR_GCMD_REG, lacking);
  assert.equal(unit.read32(regs.DMAR_GSTS_REG), 0);
});

Deno.test("RTADDR counts only once SRTP has latched it", () => {
  const { unit } = new Bench();
  unit.write32(regs.DMAR_RTADDR_REG, 0x12345c00);
  unit.write32(regs.DMAR_RTADDR_REG + 4, 0x1);
  assert.equal(unit.read32(regs.DMAR_RTADDR_REG), 0x12345000, "no table type in legacy mode");
  assert.equal(unit.rootPfn, 0);
  unit.write32(regs.DMAR_GCMD_REG, regs.DMA_GCMD_SRTP);
  assert.equal(unit.rootPfn, 0x112345);
});

Deno.test("PMEN's status follows its enable bit", () => {
  const { unit } = new Bench();
  unit.write32(regs.DMAR_PMEN_REG, regs.DMA_PMEN_EPM);
  assert.equal(unit.read32(regs.DMAR_PMEN_REG), 0x80000001);
  unit.write32(regs.DMAR_PMEN_REG, 0);
  assert.equal(unit.read32(regs.DMAR_PMEN_REG), 0);
});

Deno.test("FEDATA and FEADDR keep what is written", () => {
  const { unit } = new Bench();
  unit.write32(regs.DMAR_FEDATA_REG, 0x4021);
  unit.write32(regs.DMAR_FEADDR_REG, 0xfee00018);
  unit.write32(regs.DMAR_FEUADDR_REG, 1);
  assert.equal(unit.read32(regs.DMAR_FEDATA_REG), 0x4021);
  assert.equal(unit.read32(regs.DMAR_FEADDR_REG), 0xfee00018);
  assert.equal(unit.read32(regs.DMAR_FEUADDR_REG), 1);
});

Deno.test("register writes leave their mark in the event hash", () => {
  const one = new Bench(), two = new Bench();
  assert.equal(one.hash.digest(), two.hash.digest());
  one.flushIotlb(regs.GRANU_DOMAIN, 5);
  two.flushIotlb(regs.GRANU_DOMAIN, 6);
  assert.notEqual(one.hash.digest(), two.hash.digest());
});
