// BouncyCastle as a peer: reads and makes S/MIME mail, one tab-separated request a line, "yes" or the reason why not.

import java.io.ByteArrayOutputStream;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.FileReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertStore;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.MGF1ParameterSpec;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import javax.mail.Session;
import javax.mail.internet.MimeBodyPart;
import javax.mail.internet.MimeMessage;
import javax.mail.internet.MimeMultipart;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.cms.AttributeTable;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.CMSAlgorithm;
import org.bouncycastle.cms.CMSAuthEnvelopedData;
import org.bouncycastle.cms.CMSAuthEnvelopedDataGenerator;
import org.bouncycastle.cms.CMSProcessableByteArray;
import org.bouncycastle.cms.RecipientInfoGenerator;
import org.bouncycastle.cms.RecipientInformation;
import org.bouncycastle.cms.SignerInfoGenerator;
import org.bouncycastle.cms.SignerInformation;
import org.bouncycastle.cms.jcajce.JcaSignerInfoGeneratorBuilder;
import org.bouncycastle.cms.jcajce.JcaSimpleSignerInfoVerifierBuilder;
import org.bouncycastle.cms.jcajce.JceCMSContentEncryptorBuilder;
import org.bouncycastle.cms.jcajce.JceKeyAgreeEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyAgreeRecipientInfoGenerator;
import org.bouncycastle.cms.jcajce.JceKeyTransEnvelopedRecipient;
import org.bouncycastle.cms.jcajce.JceKeyTransRecipientInfoGenerator;
import org.bouncycastle.cms.Recipient;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.mail.smime.SMIMEEnveloped;
import org.bouncycastle.mail.smime.SMIMEEnvelopedGenerator;
import org.bouncycastle.mail.smime.SMIMESigned;
import org.bouncycastle.mail.smime.SMIMESignedGenerator;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.jcajce.JcaAlgorithmParametersConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.util.Store;

public class BouncyCastle {
    static final Session SESSION = Session.getInstance(new Properties());
    static final Map<String, ASN1ObjectIdentifier> CIPHERS = Map.of(
        "aes128-cbc", CMSAlgorithm.AES128_CBC, "aes192-cbc", CMSAlgorithm.AES192_CBC,
        "aes256-cbc", CMSAlgorithm.AES256_CBC, "aes128-gcm", CMSAlgorithm.AES128_GCM,
        "aes256-gcm", CMSAlgorithm.AES256_GCM);
    static Path store;

    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        store = Path.of(arguments[0]);
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] words = line.split("\t");
            String answer = "yes";
            try {
                if (words[0].equals("read")) read(words); else make(words);
            } catch (Throwable refused) {
                answer = refused.toString().replaceAll("\\s+", " ");
            }
            System.out.println(answer);
            System.out.flush();
        }
    }

    static X509Certificate certificate(String name) throws Exception {
        try (PEMParser parser = new PEMParser(new FileReader(store.resolve(name + ".pem").toFile()))) {
            // Its own provider: the other one's keys make it spell curves out, which RFC 5480 §2.1.1 forbids
            return new JcaX509CertificateConverter().setProvider("BC").getCertificate((X509CertificateHolder) parser.readObject());
        }
    }

    static PrivateKey key(String name) throws Exception {
        try (PEMParser parser = new PEMParser(new FileReader(store.resolve(name + ".key").toFile()))) {
            return new JcaPEMKeyConverter().setProvider("BC").getPrivateKey((PrivateKeyInfo) parser.readObject());
        }
    }

    // --- reading: mail, where the entity goes, kind of the recipient's key or "-"

    static void read(String[] words) throws Exception {
        MimeMessage mail;
        try (InputStream in = new FileInputStream(words[1])) { mail = new MimeMessage(SESSION, in); }
        javax.mail.Part part = mail;
        if (!words[3].equals("-")) part = decrypted(mail, words[3]);
        SMIMESigned signed = part.isMimeType("multipart/signed")
            ? new SMIMESigned((MimeMultipart) part.getContent()) : new SMIMESigned(part);
        verify(signed);
        ByteArrayOutputStream entity = new ByteArrayOutputStream();
        signed.getContent().writeTo(entity);
        Files.write(Path.of(words[2]), entity.toByteArray());
    }

    static MimeBodyPart decrypted(MimeMessage mail, String kind) throws Exception {
        PrivateKey key = key(kind + "-encrypt");
        Recipient how = kind.equals("rsa")
            ? new JceKeyTransEnvelopedRecipient(key).setProvider("BC") : new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC");
        byte[] plain;
        if (mail.getContentType().toLowerCase().contains("authenveloped")) {
            CMSAuthEnvelopedData data = new CMSAuthEnvelopedData(mail.getInputStream());
            plain = first(data.getRecipientInfos().getRecipients()).getContent(how);
        } else {
            plain = first(new SMIMEEnveloped(mail).getRecipientInfos().getRecipients()).getContent(how);
        }
        return new MimeBodyPart(new java.io.ByteArrayInputStream(plain));
    }

    static RecipientInformation first(Collection<RecipientInformation> all) { return all.iterator().next(); }

    static void verify(SMIMESigned signed) throws Exception {
        Store<X509CertificateHolder> enclosed = signed.getCertificates();
        Collection<SignerInformation> signers = signed.getSignerInfos().getSigners();
        if (signers.isEmpty()) throw new Exception("no signer");
        for (SignerInformation signer : signers) {
            Collection<X509CertificateHolder> found = enclosed.getMatches(signer.getSID());
            X509Certificate leaf = new JcaX509CertificateConverter().getCertificate(found.iterator().next());
            if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(leaf)))
                throw new Exception("the signature does not verify");
            path(leaf, enclosed);
        }
    }

    static void path(X509Certificate leaf, Store<X509CertificateHolder> enclosed) throws Exception {
        List<X509Certificate> all = new ArrayList<>();
        for (X509CertificateHolder one : enclosed.getMatches(null)) all.add(new JcaX509CertificateConverter().getCertificate(one));
        X509CertSelector target = new X509CertSelector();
        target.setCertificate(leaf);
        PKIXBuilderParameters parameters = new PKIXBuilderParameters(Set.of(new TrustAnchor(certificate("root"), null)), target);
        parameters.setRevocationEnabled(false);
        parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(all)));
        CertPathBuilder.getInstance("PKIX", "BC").build(parameters);
    }

    // --- making: entity, where the mail goes, signer, digest, PSS, form, signer by key, recipients, cipher, OAEP hash,
    //             KDF hash, cofactor, recipient by key

    static void make(String[] words) throws Exception {
        MimeBodyPart entity;
        try (InputStream in = new FileInputStream(words[1])) { entity = new MimeBodyPart(in); }
        SMIMESignedGenerator generator = new SMIMESignedGenerator();
        generator.addSignerInfoGenerator(signer(words[3], words[4], words[5].equals("True"), words[7].equals("True")));
        generator.addCertificates(new JcaCertStore(List.of(certificate(words[3] + "-sign"), certificate("chain"))));
        MimeMessage mail = new MimeMessage(SESSION);
        MimeBodyPart signed = new MimeBodyPart();
        if (words[6].equals("detached")) {
            MimeMultipart both = generator.generate(entity);
            signed.setContent(both);
            signed.setHeader("Content-Type", both.getContentType());  // else only a whole message would write it
        } else signed = generator.generateEncapsulated(entity);
        if (words[8].equals("-")) {
            if (words[6].equals("detached")) mail.setContent((MimeMultipart) signed.getContent());
            else mail.setContent(signed.getContent(), signed.getContentType());
        } else if (words[9].endsWith("gcm")) {
            authenticated(mail, signed, words);
        } else {
            SMIMEEnvelopedGenerator enveloper = new SMIMEEnvelopedGenerator();
            for (String kind : words[8].split(",")) enveloper.addRecipientInfoGenerator(recipient(kind, words));
            MimeBodyPart made = enveloper.generate(
                signed, new JceCMSContentEncryptorBuilder(CIPHERS.get(words[9])).setProvider("BC").build());
            mail.setContent(made.getContent(), made.getContentType());
        }
        finish(mail, words[2]);
    }

    static void authenticated(MimeMessage mail, MimeBodyPart signed, String[] words) throws Exception {
        // its mail API stops at EnvelopedData: the CMS level, then a part by hand
        CMSAuthEnvelopedDataGenerator enveloper = new CMSAuthEnvelopedDataGenerator();
        for (String kind : words[8].split(",")) enveloper.addRecipientInfoGenerator(recipient(kind, words));
        ByteArrayOutputStream octets = new ByteArrayOutputStream();
        signed.writeTo(octets);
        OutputAEADEncryptor encryptor =
            (OutputAEADEncryptor) new JceCMSContentEncryptorBuilder(CIPHERS.get(words[9])).setProvider("BC").build();
        byte[] made = enveloper.generate(new CMSProcessableByteArray(octets.toByteArray()), encryptor).getEncoded();
        String kind = "application/pkcs7-mime; smime-type=authEnveloped-data; name=smime.p7m";
        mail.setDataHandler(new javax.activation.DataHandler(new javax.mail.util.ByteArrayDataSource(made, kind)));
        mail.setHeader("Content-Type", kind);
        mail.setHeader("Content-Transfer-Encoding", "base64");
    }

    static void finish(MimeMessage mail, String target) throws Exception {
        mail.setFrom("gateway@dcc.example");
        mail.setRecipients(javax.mail.Message.RecipientType.TO, "reader@dcc.example");
        mail.setSubject("[...]");
        mail.setSentDate(new java.util.Date());
        mail.saveChanges();
        try (java.io.OutputStream out = Files.newOutputStream(Path.of(target))) { mail.writeTo(out); }
    }

    static SignerInfoGenerator signer(String kind, String digest, boolean pss, boolean byKey) throws Exception {
        X509Certificate own = certificate(kind + "-sign");
        String hash = digest.toUpperCase();
        String name = kind.equals("ed25519") ? "Ed25519" : hash + (kind.equals("rsa") ? "withRSA" : "withECDSA") + (pss ? "andMGF1" : "");
        ContentSigner content = new JcaContentSignerBuilder(name).setProvider("BC").build(key(kind + "-sign"));
        JcaSignerInfoGeneratorBuilder builder =
            new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().setProvider("BC").build());
        return byKey ? builder.build(content, identifier(own)) : builder.build(content, own);
    }

    static byte[] identifier(X509Certificate certificate) throws Exception {
        return org.bouncycastle.asn1.x509.SubjectKeyIdentifier.fromExtensions(
            new X509CertificateHolder(certificate.getEncoded()).getExtensions()).getKeyIdentifier();
    }

    static RecipientInfoGenerator recipient(String kind, String[] words) throws Exception {
        X509Certificate to = certificate(kind + "-encrypt");
        boolean byKey = words[13].equals("True");
        if (kind.equals("rsa")) {
            if (words[10].equals("-"))
                return (byKey ? new JceKeyTransRecipientInfoGenerator(identifier(to), to.getPublicKey())
                    : new JceKeyTransRecipientInfoGenerator(to)).setProvider("BC");
            String hash = words[10].equals("sha1") ? "SHA-1" : "SHA-" + words[10].substring(3);
            OAEPParameterSpec oaep = new OAEPParameterSpec(hash, "MGF1", new MGF1ParameterSpec(hash), PSource.PSpecified.DEFAULT);
            return new JceKeyTransRecipientInfoGenerator(to, new JcaAlgorithmParametersConverter()
                .getAlgorithmIdentifier(PKCSObjectIdentifiers.id_RSAES_OAEP, oaep)).setProvider("BC");
        }
        ASN1ObjectIdentifier agreement = switch (words[11] + words[12]) {
            case "sha1False" -> CMSAlgorithm.ECDH_SHA1KDF;
            case "sha1True" -> CMSAlgorithm.ECCDH_SHA1KDF;
            case "sha256True" -> CMSAlgorithm.ECCDH_SHA256KDF;
            case "sha384False" -> CMSAlgorithm.ECDH_SHA384KDF;
            case "sha512False" -> CMSAlgorithm.ECDH_SHA512KDF;
            default -> CMSAlgorithm.ECDH_SHA256KDF;
        };
        KeyPairGenerator ephemeral = KeyPairGenerator.getInstance(kind.startsWith("p") ? "EC" : "X25519", "BC");
        if (kind.startsWith("p")) ephemeral.initialize(((ECPublicKey) to.getPublicKey()).getParams());
        KeyPair own = ephemeral.generateKeyPair();
        JceKeyAgreeRecipientInfoGenerator generator =
            new JceKeyAgreeRecipientInfoGenerator(agreement, own.getPrivate(), own.getPublic(), CMSAlgorithm.AES256_WRAP).setProvider("BC");
        return byKey ? generator.addRecipient(identifier(to), to.getPublicKey()) : generator.addRecipient(to);
    }
}
