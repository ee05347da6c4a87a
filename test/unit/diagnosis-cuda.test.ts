// What `spikeloom doctor` finds of NVIDIA's parts, and what it tells a server's owner to install.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { adviseCuda, type CudaFacts, countGpus, driverVersion } from '../../lib/cli/diagnosis-cuda.ts';

const nothing: CudaFacts = {
  ...{ score: 0, reason: 'the reason', description: '' },
  ...{ library: null, driver: null, gpus: 0, toolkit: null },
};

describe('doctor on NVIDIA GPUs', () => {
  let root = '';
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'spikeloom-doctor-'));
    const files: Record<string, string> = {
      'proc/driver/nvidia/version':
        'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\nGCC version:  13.3.0\n',
    };
    const devices = {
      a: ['0x10de', '0x030200'],
      b: ['0x10de', '0x030000'],
      c: ['0x10de', '0x040300'],
      d: ['0x8086', '0x030000'],
    };
    for (const [name, [vendor, kind]] of Object.entries(devices)) {
      files[`sys/bus/pci/devices/${name}/vendor`] = `${vendor}\n`;
      files[`sys/bus/pci/devices/${name}/class`] = `${kind}\n`;
    }
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  it('reads the driver and counts the GPUs, not what else NVIDIA makes', () => {
    expect(driverVersion(root)).to.equal('580.95.05');
    expect(countGpus(root)).to.equal(2);
    expect(driverVersion(join(root, 'nowhere'))).to.equal(null);
    expect(countGpus(join(root, 'nowhere'))).to.equal(0);
  });

  it('says nothing where there is no GPU, or all is well', () => {
    expect(adviseCuda(nothing)).to.equal(null);
    expect(adviseCuda({ ...nothing, score: 10, gpus: 1, driver: '580.1', library: 'x.so' })).to.equal(null);
  });

  it('wants the driver only where the library is there', () => {
    const advice = adviseCuda({ ...nothing, gpus: 1, library: 'x.so' });
    expect(advice).to.match(/^install NVIDIA's driver .*; then nothing else: .* needs no toolkit$/);
  });

  it('wants the toolkit only where the library has to be built', () => {
    expect(adviseCuda({ ...nothing, gpus: 1, driver: '580.1', toolkit: '13.0' })).to.equal("run 'npm run build:cuda'");
    expect(adviseCuda({ ...nothing, gpus: 1, driver: '580.1' })).to.match(
      /^put a libspikeloom_cuda.so .* or install the CUDA toolkit/,
    );
  });

  it('passes on what the library says', () => {
    expect(adviseCuda({ ...nothing, gpus: 1, driver: '470.1', library: 'x.so' })).to.match(/says: the reason$/);
  });
});
